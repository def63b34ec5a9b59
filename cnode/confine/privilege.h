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

/* Capabilities: bits of a set. */
enum privilege {
	PRIVILEGE_BPF = 1,
	PRIVILEGE_NET_ADMIN = 2,
	PRIVILEGE_SYS_ADMIN = 4,
	PRIVILEGE_PERFMON = 8,
	PRIVILEGE_DAC_READ_SEARCH = 16,
};

/*
 * Drops all capabilities but these, as far as it has them. The process must be
 * single-threaded.
 */
enum exit_status privilege_keep(unsigned privileges);

/* The same once more, in a process of the loader: logs nothing. 0 or -errno. */
int privilege_narrow(unsigned privileges);

/* Whether it could use that capability. */
bool privilege_has(enum privilege privilege);

/* Whether it has the capabilities; a security module may still refuse. */
bool privilege_may_make_maps(void);

#endif
