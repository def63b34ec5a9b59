/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USER_H
#define USER_H

#include <sys/types.h>

#define USER_MAX_GROUPS 1000

/* Somebody as the name services of this host know them. */
struct user {
	const char *name; /* NULL: nobody else than who this is */
	uid_t uid;
	gid_t gid;
	int group_count;
	gid_t groups[USER_MAX_GROUPS];
};

/*
 * Looks a user up by its name, which is kept. NULL, or what is wrong. Only for
 * a process of one thread.
 */
const char *user_find(struct user *user, const char *name);

#endif
