/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LANDLOCK_H
#define LANDLOCK_H

#include <stdint.h>

/* What remains open to this process. */
struct landlock_limits {
	int pin_root; /* a descriptor; -1: all bpf file systems there are */
	uint16_t epmd_port;
};

/*
 * Confines this thread, and those that it will start, for good; it must have
 * no_new_privs. Returns the version of the kernel's Landlock, which is from 1
 * on; or -errno: -ENOSYS where it has none, -EPERM where it is refused.
 */
int landlock_confine(const struct landlock_limits *limits);

/* The first version that confines connections. */
#define LANDLOCK_WITH_NET 4

#endif
