/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAP_INNER_SWEEP_H
#define MAP_INNER_SWEEP_H

#include <stdbool.h>
#include <stdint.h>

struct map;
struct map_charge;
struct map_memory;

/*
 * Scans the outer maps that are open or pinned, and marks the maps in them as
 * seen by the sweep. The lock of struct map_memory guards the fields.
 */
struct map_inner_sweep {
	bool on;     /* a pinned outer map is scanned when it is opened */
	bool failed; /* some maps in maps were not seen */
	uint32_t slots_left; /* array slots that this sweep may still read */
};

/* Call these with the lock held. */

void map_inner_sweep_start(struct map_memory *memory);

/* True: the caller, and no other thread, must scan the map of charge. */
bool map_inner_sweep_claim(struct map_memory *memory,
			   struct map_charge *charge);

/* True if no outer map went unscanned. Releases the lock now and then. */
bool map_inner_sweep_is_complete(struct map_memory *memory);

/* Call these without it. */

/*
 * Marks the maps in map as seen. A thread that opens a pinned map during a
 * sweep holds opening to read until this returns: the sweep waits for it.
 */
void map_inner_sweep_scan(struct map_memory *memory, struct map *map);

/* Scans all open outer maps that no thread has claimed. */
void map_inner_sweep_scan_open(struct map_memory *memory);

#endif
