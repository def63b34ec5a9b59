/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USER_H
#define USER_H

#include <sys/types.h>

#define USER_MAX_GROUPS 1000

/* A user, from the name services of this host. */
struct user {
	const char *name; /* NULL: no change of user */
	uid_t uid;
	gid_t gid;
	int group_count;
	gid_t groups[USER_MAX_GROUPS];
};

/*
 * Looks a user up; keeps name. NULL, or what is wrong. This process must be
 * single-threaded.
 */
const char *user_find(struct user *user, const char *name);

#endif
