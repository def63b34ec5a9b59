/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAP_TYPES_H
#define MAP_TYPES_H

#include "bpf/map.h"

#define MAP_TYPES_VALUE_ALIGN 8 /* of each CPU's value, in the kernel */

/* enum map_trait, or-ed. */
unsigned map_types_traits(uint32_t type);

/* Abilities that depend on the kernel; probed when a type is first used. */
enum map_types_ability {
	MAP_TYPES_KNOWN = 1 << 0,   /* always set: 0 is not probed yet */
	MAP_TYPES_TAKE = 1 << 1,    /* atomic get and remove */
	MAP_TYPES_BUCKETS = 1 << 2, /* batch lookup */
};

/* Or-ed; -errno if memory, descriptors or privileges were missing this time. */
int map_types_abilities(uint32_t type);

#endif
