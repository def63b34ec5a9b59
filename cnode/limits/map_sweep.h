/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAP_SWEEP_H
#define MAP_SWEEP_H

#include "bpf/map.h"

struct map_memory;

/*
 * Removes the charges of maps that are gone. While another thread sweeps, waits
 * for a sweep that starts after this call, by this thread or another.
 */
void map_sweep(struct map_memory *memory);

/*
 * Call when a pinned outer map is opened during a sweep, with opening held to
 * read: marks the maps in it as seen, before they can move elsewhere.
 */
void map_sweep_scan(struct map_memory *memory, struct map *map);

/* 1: it exists, 0: it does not; -EPERM: no map may be opened by its id. */
int map_exists(uint32_t id);

#endif
