/* SPDX-License-Identifier: Apache-2.0 */
/* The table of charges for --max-map-memory. Opens and closes no map. */
#include "limits/map_charges.h"

#include <stdlib.h>

bool map_charges_reserve(struct map_memory *memory, uint64_t bytes)
{
	bool fits;

	pthread_mutex_lock(&memory->lock);
	fits = bytes <= memory->max - memory->used;
	if (fits)
		memory->used += bytes;
	pthread_mutex_unlock(&memory->lock);
	return fits;
}

void map_charges_give_back(struct map_memory *memory, uint64_t bytes)
{
	pthread_mutex_lock(&memory->lock);
	memory->used -= bytes;
	pthread_mutex_unlock(&memory->lock);
}

void map_charges_pause(struct map_memory *memory, size_t bucket)
{
	if (bucket % MAP_CHARGES_AT_ONCE > 0)
		return;
	pthread_mutex_unlock(&memory->lock);
	pthread_mutex_lock(&memory->lock);
}

struct map_charge_list *map_charges_bucket(struct map_memory *memory,
					   uint32_t id)
{
	return &memory->buckets[id % MAP_CHARGES_BUCKETS];
}

struct map_charge *map_charges_find(struct map_memory *memory, uint32_t id)
{
	struct map_charge *charge;

	LIST_FOREACH(charge, map_charges_bucket(memory, id), entry)
	if (charge->id == id)
		return charge;
	return NULL;
}

void map_charges_add(struct map_memory *memory, struct map_charge *charge,
		     const struct map *map)
{
	memory->charges++;
	charge->memory = memory;
	charge->id = map->resource.id;
	charge->outer = map->traits & MAP_VALUE_IS_MAP;
	charge->seen = memory->sweep;
	LIST_INIT(&charge->open);
	LIST_INSERT_HEAD(map_charges_bucket(memory, map->resource.id), charge,
			 entry);
}

void map_charges_remove(struct map_charge *charge)
{
	charge->memory->charges--;
	charge->memory->used -= charge->bytes;
	LIST_REMOVE(charge, entry);
	free(charge);
}
