/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LANDLOCK_H
#define LANDLOCK_H

#include <stdint.h>

/* What this process may still reach. */
struct landlock_limits {
	int pin_root; /* a descriptor; -1: all bpf file systems */
	uint16_t epmd_port;
};

/*
 * Confines this thread and those that it starts, for good. Needs no_new_privs.
 * Returns the version of Landlock, from 1 on; -ENOSYS if the kernel has none,
 * -EPERM if a container refuses it, or another -errno.
 */
int landlock_confine(const struct landlock_limits *limits);

/* The first version that confines connections. */
#define LANDLOCK_WITH_NET 4

#endif
