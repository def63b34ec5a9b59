/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAP_SWEEP_H
#define MAP_SWEEP_H

#include "bpf/map.h"

struct map_memory;

/*
 * Gives back what maps count with that are gone by now. Who asks while another
 * thread is at it waits for a sweep that begins after that, its own or not.
 */
void map_sweep(struct map_memory *memory);

/*
 * A pinned outer map has been opened while a sweep is on: what is in it is
 * there, wherever it may go from here. With opening to read.
 */
void map_sweep_scan(struct map_memory *memory, struct map *map);

/* 1: it is there, 0: it is not; -EPERM: that may not be known by its id. */
int map_exists(uint32_t id);

#endif
