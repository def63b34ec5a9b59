/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAP_LOCK_H
#define MAP_LOCK_H

#include <stdint.h>

#include "bpf/map.h"

/* The lock of all maps with that id; NULL: no memory. Freed at the last close.
 */
struct map_lock *map_lock_open(uint32_t id);
void map_lock_close(struct map_lock *lock); /* accepts NULL */

void map_lock_take(struct map_lock *lock);
void map_lock_release(struct map_lock *lock);

/* Inlined: most maps have no lock. */
static inline void lock_map(struct map *map)
{
	if (map->lock)
		map_lock_take(map->lock);
}

static inline void unlock_map(struct map *map)
{
	if (map->lock)
		map_lock_release(map->lock);
}

#endif
