/* SPDX-License-Identifier: Apache-2.0 */
/* Looks a user up. */
#include "host/user.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>

#include "host/child.h"

static int look_up(void *result, const void *name)
{
	struct user *user = result;
	const struct passwd *entry;

	errno = 0;
	entry = getpwnam(name);
	if (!entry)
		return errno == ENOMEM || errno == EMFILE || errno == ENFILE ||
				       errno == EIO
			       ? errno
			       : ENOENT;
	user->uid = entry->pw_uid;
	user->gid = entry->pw_gid;
	user->group_count = USER_MAX_GROUPS;
	if (getgrouplist(name, entry->pw_gid, user->groups,
			 &user->group_count) >= 0)
		return 0;
	return user->group_count > USER_MAX_GROUPS ? E2BIG : ENOMEM;
}

const char *user_find(struct user *user, const char *name)
{
	static struct user found;
	const struct child_task task = {
		.work = look_up,
		.about = name,
		.what = "the name services of this host, to look up --user",
		.most_ms = -1,
	};
	int error = child_ask(&task, &found, sizeof(found));

	switch (error) {
	case 0:
		break;
	case ENOENT:
		return "no such user";
	case E2BIG:
		return "it is in more than 1000 groups";
	case ENODATA:
		return "the lookup crashed; memory may be short";
	default:
		return strerror(error);
	}
	*user = found;
	user->name = name;
	return NULL;
}
