/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SYSCALLS_H
#define SYSCALLS_H

#include <stdbool.h>

/*
 * From here on a system call, or an argument of one, that the node never uses
 * kills the process. Applies to all threads, for good, and needs no_new_privs.
 * Without open_by_id, opening a map by id fails with EPERM. 0 or -errno.
 */
int syscalls_confine(bool open_by_id);

#endif
