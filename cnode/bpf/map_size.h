/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAP_SIZE_H
#define MAP_SIZE_H

#include "bpf/map.h"

/*
 * The least that a map will come to when all its entries are there, before it
 * is made. UINT64_MAX for more than that.
 */
uint64_t map_size_needed(const struct map_spec *spec);

/* The most: that, and what stands around the entries. */
uint64_t map_size_most(const struct map_spec *spec);

#endif
