/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAP_SIZE_H
#define MAP_SIZE_H

#include "bpf/map.h"

/*
 * A lower bound of the memory, in bytes, of a map when it is full. UINT64_MAX
 * on overflow.
 */
uint64_t map_size_needed(const struct map_spec *spec);

/* An upper bound: the same plus the kernel's tables and spare entries. */
uint64_t map_size_most(const struct map_spec *spec);

#endif
