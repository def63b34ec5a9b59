/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SYSCALLS_H
#define SYSCALLS_H

#include <stdbool.h>

/*
 * From here on any system call that the node does not use kills the process,
 * as does one with arguments that the node does not use. Holds for all of its
 * threads, for good, and takes no_new_privs. Without open_by_id, opening a map
 * by its id is EPERM. 0 or -errno.
 */
int syscalls_confine(bool open_by_id);

#endif
