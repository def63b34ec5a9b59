/* SPDX-License-Identifier: Apache-2.0 */
#ifndef POSIX_H
#define POSIX_H

#define POSIX_NAME_SIZE 32
#define POSIX_ENOTSUPP 524 /* kernel-internal, but bpf(2) returns it */

/*
 * Writes Erlang's atom for an errno, as einval, to name and returns it; an
 * errno without a name becomes errno_NUMBER.
 */
const char *posix_name(int error, char name[POSIX_NAME_SIZE]);

#endif
