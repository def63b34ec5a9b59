/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAP_MEMORY_H
#define MAP_MEMORY_H

#include <stdint.h>

#include "bpf/map.h"

/*
 * The memory of the maps that are made here, and the limit to it. A map counts
 * with all the entries that it has room for, or with what the kernel says where
 * that is more, of which small ones are not asked; from when it is made until
 * it is gone from the kernel. What was pinned, put into another map or opened
 * by its id here may outlive its handles: it is looked for when the limit is
 * met. What another process alone took by its id is not. Safe to use from any
 * thread.
 */
struct map_memory;

/* max bytes; UINT64_MAX: nothing is counted. NULL: no memory. */
struct map_memory *map_memory_new(uint64_t max);
void map_memory_free(struct map_memory *memory);

/* Nobody waits for a map any more: what takes long ends before its time. */
void map_memory_stop(struct map_memory *memory);

/*
 * As map_new(); -ENOMEM also where it would be more than there may be, which
 * is logged with who asked.
 */
int map_memory_make(struct map_memory *memory, const struct map_spec *spec,
		    const char *who, struct map **map);

/* As map_open_pinned(), and it is known to be open then. */
int map_memory_open_pinned(struct map_memory *memory, const char *path,
			   uint32_t flags, struct map **map);

/* As map_open_id(), and the map counts as long as it is there. */
int map_memory_open_id(struct map_memory *memory, uint32_t id, uint32_t flags,
		       struct map **map);

/* To be called before a map is pinned, or put into another map. */
void map_memory_will_be_pinned(struct map *map);
void map_memory_will_be_inner(struct map *map);

#endif
