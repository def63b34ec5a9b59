/* SPDX-License-Identifier: Apache-2.0 */
#ifndef POSIX_H
#define POSIX_H

#define POSIX_NAME_SIZE 32
#define POSIX_ENOTSUPP 524 /* the kernel's own, which leaks from bpf(2) */

/*
 * The atom that Erlang has for an errno: einval, enoent, ... in name. An
 * errno without a name comes out as errno_NUMBER.
 */
const char *posix_name(int error, char name[POSIX_NAME_SIZE]);

#endif
