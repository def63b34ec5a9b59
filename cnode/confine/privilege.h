/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PRIVILEGE_H
#define PRIVILEGE_H

#include <stdbool.h>

#include "base/exit_status.h"

/*
 * For the very beginning: programs that are run from here on get none of our
 * capabilities. With hide, this process leaves no core and other processes of
 * its user can neither trace it nor read its memory.
 */
void privilege_begin(bool hide);

struct user;

/*
 * Becomes user, if any, with its groups; capabilities are kept, but are not in
 * effect until privilege_keep(). What goes wrong has been logged.
 */
enum exit_status privilege_change_user(const struct user *user);

/* Makes user the owner of a folder, as far as that can be done. */
void privilege_give(const char *folder, const struct user *user);

/*
 * Gives up all capabilities but those of the functions that are served, as far
 * as they were there. Only for a process of one thread.
 */
enum exit_status privilege_keep(bool open_by_id);

/* Whether it has what the kernel asks for, whoever else may refuse. */
bool privilege_may_make_maps(void);

#endif
