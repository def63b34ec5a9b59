/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAP_TYPES_H
#define MAP_TYPES_H

#include "bpf/map.h"

#define MAP_TYPES_VALUE_ALIGN 8 /* the kernel's, of each CPU's value */

/* enum map_trait, or-ed. */
unsigned map_types_traits(uint32_t type);

/* What the kernel can do with a type, found out when it is first used. */
enum map_types_ability {
	MAP_TYPES_KNOWN = 1 << 0,
	MAP_TYPES_TAKE = 1 << 1,    /* get and remove at once */
	MAP_TYPES_BUCKETS = 1 << 2, /* batch lookup */
};

/* Or-ed; -errno when memory, descriptors or the like are short, for now. */
int map_types_abilities(uint32_t type);

#endif
