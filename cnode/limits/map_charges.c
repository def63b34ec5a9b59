/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of charges for --max-map-memory, and their records over a restart.
 * Opens and closes no map.
 */
#include "limits/map_charges.h"

#include <stdlib.h>
#include <string.h>

bool map_charges_reserve(struct map_memory *memory, uint64_t bytes)
{
	bool fits;

	pthread_mutex_lock(&memory->lock);
	/* what is from before the start may be more than the limit */
	fits = memory->used <= memory->max &&
	       bytes <= memory->max - memory->used;
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

void map_charges_insert(struct map_memory *memory, struct map_charge *charge)
{
	memory->charges++;
	charge->memory = memory;
	charge->seen = memory->sweep;
	LIST_INIT(&charge->open);
	LIST_INSERT_HEAD(map_charges_bucket(memory, charge->id), charge, entry);
}

void map_charges_add(struct map_memory *memory, struct map_charge *charge,
		     const struct map *map)
{
	charge->id = map->resource.id;
	charge->outer = map->traits & MAP_VALUE_IS_MAP;
	map_charges_insert(memory, charge);
}

void map_charges_remove(struct map_charge *charge)
{
	charge->memory->charges--;
	charge->memory->used -= charge->bytes;
	LIST_REMOVE(charge, entry);
	map_charges_free(charge->memory, charge);
}

/* --- Over a restart ------------------------------------------------------- */

/* As it is in the folder; numbers are this machine's. */
struct charge_record {
	uint8_t type; /* STATE_CHARGE */
	uint8_t outer;
	uint16_t zero;
	uint32_t id;
	uint64_t bytes;
};

_Static_assert(sizeof(struct charge_record) == 16, "no padding");

int map_charges_take(struct map_memory *memory, struct map_charge *charge)
{
	return memory->state
		       ? state_take(memory->state, sizeof(struct charge_record),
				    &charge->record)
		       : 0;
}

void map_charges_write(const struct map_memory *memory,
		       const struct map_charge *charge)
{
	const struct charge_record record = {
		.type = STATE_CHARGE,
		.outer = charge->outer,
		.id = charge->id,
		.bytes = charge->bytes,
	};

	if (charge->record > 0)
		state_write(memory->state, charge->record, &record,
			    sizeof(record));
}

void map_charges_free(const struct map_memory *memory,
		      struct map_charge *charge)
{
	if (charge && memory->state && charge->record > 0)
		state_drop(memory->state, charge->record);
	free(charge);
}

bool map_charges_read(const void *bytes, size_t size, struct map_charge *charge)
{
	struct charge_record record;

	if (size != sizeof(record))
		return false;
	memcpy(&record, bytes, sizeof(record));
	if (record.type != STATE_CHARGE || record.id == 0)
		return false;
	charge->id = record.id;
	charge->outer = record.outer;
	charge->bytes = record.bytes;
	return true;
}
