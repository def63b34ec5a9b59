/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PRIVILEGE_H
#define PRIVILEGE_H

#include <stdbool.h>

#include "base/exit_status.h"

/*
 * To be called first: programs run from here on inherit no capabilities. With
 * hide, the process dumps no core, and other processes of its user can neither
 * trace it nor read its memory.
 */
void privilege_begin(bool hide);

struct user;

/*
 * Becomes user, if any, with its groups. Capabilities are kept, but not in
 * effect until privilege_keep(). Errors have been logged.
 */
enum exit_status privilege_change_user(const struct user *user);

/* Tries to make user the owner of a folder. */
void privilege_give(const char *folder, const struct user *user);

/*
 * Drops all capabilities that the functions served do not need. The process
 * must be single-threaded.
 */
enum exit_status privilege_keep(bool open_by_id);

/* Whether it has the capabilities; a security module may still refuse. */
bool privilege_may_make_maps(void);

#endif
