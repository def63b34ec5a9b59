/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PINS_H
#define PINS_H

#include <stddef.h>
#include <stdint.h>

#define PINS_ROOT "/sys/fs/bpf" /* the usual place of the bpf file system */

/* Mounts a bpf file system at PINS_ROOT: 1; 0 if one was there; or -errno. */
int pins_mount(void);

/* The pins of maps, found by a walk through all bpf file systems. */
struct pin {
	uint32_t map_id;
	char *path;
};

struct pins {
	struct pin *list;
	size_t count;
};

/* 0 or -ENOMEM; what cannot be looked at is passed over. */
int pins_find(struct pins *pins);
void pins_free(struct pins *pins);

#endif
