/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAP_MEMORY_H
#define MAP_MEMORY_H

#include <stdint.h>

#include "bpf/map.h"

/*
 * Limits the memory of the maps made here. A map is charged for max_entries
 * entries, or, unless it is small, for what the kernel reports if that is more;
 * from its creation until the kernel frees it. A map that was pinned, put into
 * another map or a program, or opened by its id here may outlive its handles: a
 * sweep looks for it when the limit is hit. A map that only another process
 * opened by its id is no longer charged once its handles are closed. One that
 * only a program holds is no longer charged after a sweep by a process that may
 * open no map by its id. Thread-safe.
 */
struct map_memory;

/* max is in bytes; UINT64_MAX: no limit. NULL: out of memory. */
struct map_memory *map_memory_new(uint64_t max);
void map_memory_free(struct map_memory *memory);

/* Cuts a long sweep short: no caller waits for a map any more. */
void map_memory_stop(struct map_memory *memory);

/* As map_new(); -ENOMEM also above the limit, which is logged with caller. */
int map_memory_make(struct map_memory *memory, const struct map_spec *spec,
		    const char *caller, struct map **map);

/*
 * How many bytes are left before the limit; UINT64_MAX: no limit. Where little
 * is left it looks first whether maps are gone.
 */
uint64_t map_memory_left(struct map_memory *memory);

/* Logs that maps of so many bytes are refused to caller; -ENOMEM. */
int map_memory_refuse(const struct map_memory *memory, const char *caller,
		      uint64_t bytes);

/*
 * Charges maps that a load has made, which may be open here already; they end
 * with their handles and programs. 0; -ENOMEM above the limit, which is logged
 * with caller. On an error the caller still owns all of them, and those that
 * have been charged give that back when they are closed.
 */
int map_memory_adopt(struct map_memory *memory, const char *caller,
		     struct map *const *maps, size_t count);

/* As map_open_pinned(), and registers the map as open. */
int map_memory_open_pinned(struct map_memory *memory, const char *path,
			   uint32_t flags, struct map **map);

/* As map_open_id(). A charged map stays charged as long as it exists. */
int map_memory_open_id(struct map_memory *memory, uint32_t id, uint32_t flags,
		       struct map **map);

/* As map_open_view(): the map stays charged until the view is closed, too. */
int map_memory_open_view(struct map_memory *memory, const struct map *map,
			 struct map **view);

/*
 * Charges are kept over a restart: those of maps that are made from now on, and
 * those of the state's records, of type STATE_CHARGE, which may be more than
 * the limit. -EINVAL: it is none, or its map is charged already; -ENOMEM. Call
 * both before the first map is made.
 */
struct state;
void map_memory_keep(struct map_memory *memory, struct state *state);
int map_memory_restore(struct map_memory *memory, uint32_t record,
		       const void *bytes, size_t size);

/* A charged map that is kept, and could not be opened: no sweep takes it for
   gone. */
void map_memory_spare(struct map_memory *memory, uint32_t id);

/* Call before a map is pinned, goes into a program or into another map. */
void map_memory_will_be_pinned(struct map *map);
void map_memory_will_be_used(struct map *map);
void map_memory_will_be_inner(struct map *map);

#endif
