/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAP_SWEEP_H
#define MAP_SWEEP_H

#include <stdint.h>

struct map_memory;

/*
 * Removes the charges of maps that are gone. While another thread sweeps, waits
 * for a sweep that starts after this call, by this thread or another.
 */
void map_sweep(struct map_memory *memory);

/* 1: it exists, 0: it does not; -EPERM: no map may be opened by its id. */
int map_exists(uint32_t id);

#endif
