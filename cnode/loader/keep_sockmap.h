/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEEP_SOCKMAP_H
#define KEEP_SOCKMAP_H

#include <stdint.h>

/*
 * A program attached to a map of sockets by BPF_PROG_ATTACH. 0 or -errno:
 * -EBUSY where another one is attached by that type, -EOPNOTSUPP for a kernel
 * that does not tell (before 5.18): it would replace the other one silently.
 */
int keep_sockmap_attach(int program_fd, int map_fd, uint32_t attach_type);

/* Removes that program, and no other one. Gone already is no error. */
int keep_sockmap_detach(int program_fd, int map_fd, uint32_t attach_type);

#endif
