/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looks a user up, in a process of its own: what that takes of libraries and
 * their memory is gone afterwards, and where there is none, glibc crashes.
 */
#include "user.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct found {
	int error;
	struct user user;
};

_Static_assert(sizeof(struct found) <= PIPE_BUF, "else a write could wait");

static int look_up(struct user *user, const char *name)
{
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

_Noreturn static void answer(int fd, const char *name)
{
	static struct found found;

	found.error = look_up(&found.user, name);
	_exit(write(fd, &found, sizeof(found)) != sizeof(found));
}

/* What a child has found; it is over then. */
static int ask(struct found *found, const char *name)
{
	int ends[2], status, error = 0;
	pid_t child;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return errno;
	child = fork();
	if (child == 0)
		answer(ends[1], name);
	if (child < 0)
		error = errno;
	close(ends[1]);
	if (error == 0 &&
	    read(ends[0], found, sizeof(*found)) != sizeof(*found))
		error = ENODATA;
	close(ends[0]);
	while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	return error ? error : found->error;
}

const char *user_find(struct user *user, const char *name)
{
	static struct found found;
	int error = ask(&found, name);

	switch (error) {
	case 0:
		break;
	case ENOENT:
		return "there is no such user";
	case E2BIG:
		return "it is in more than 1000 groups";
	case ENODATA:
		return "looking it up has crashed; memory may be short";
	default:
		return strerror(error);
	}
	*user = found.user;
	user->name = name;
	return NULL;
}
