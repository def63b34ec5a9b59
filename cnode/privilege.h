/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PRIVILEGE_H
#define PRIVILEGE_H

#include <stdbool.h>
#include <sys/types.h>

#include "exit_status.h"

/*
 * For the very beginning: programs that are run from here on get none of our
 * capabilities. With hide, this process leaves no core and other processes of
 * its user can neither trace it nor read its memory.
 */
void privilege_begin(bool hide);

/* Whom to become. */
struct privilege_user {
	const char *name; /* NULL: nobody else */
	uid_t uid;
	gid_t gid;
};

/* Looks a user up by its name, which is kept. NULL, or what is wrong. */
const char *privilege_find_user(struct privilege_user *user, const char *name);

/*
 * Becomes user, if any, with its groups; capabilities are kept, but are not in
 * effect until privilege_keep(). What goes wrong has been logged.
 */
enum exit_status privilege_change_user(const struct privilege_user *user);

/* Makes user the owner of a folder, as far as that can be done. */
void privilege_give(const char *folder, const struct privilege_user *user);

/*
 * Gives up all capabilities but those of the functions that are served, as far
 * as they were there. Only for a process of one thread.
 */
enum exit_status privilege_keep(bool open_by_id);

#endif
