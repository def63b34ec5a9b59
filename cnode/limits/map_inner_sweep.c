/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of a sweep that reads maps in maps. Knows neither which maps are
 * closed nor when a charge is removed.
 */
#include "limits/map_inner_sweep.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "bpf/map_walk.h"
#include "limits/map_charges.h"

#define SCAN_BYTES ((size_t)1 << 18)
#define MAX_SCAN_BYTES ((size_t)1 << 26) /* for a bucket that large */
/* Array slots that one sweep reads: callers wait for it, about 2 s. */
#define MAX_SLOTS ((uint32_t)1 << 21)

void map_inner_sweep_start(struct map_memory *memory)
{
	memory->inner_sweep.on = true;
	memory->inner_sweep.failed = false;
	memory->inner_sweep.slots_left = MAX_SLOTS;
}

static bool is_unscanned(const struct map_memory *memory,
			 const struct map_charge *charge)
{
	return charge->outer && charge->scanned != memory->sweep;
}

bool map_inner_sweep_claim(struct map_memory *memory, struct map_charge *charge)
{
	if (!memory->inner_sweep.on || !is_unscanned(memory, charge))
		return false;
	charge->scanned = memory->sweep;
	return true;
}

/* --- One map ------------------------------------------------------------ */

static void mark_seen(struct map_memory *memory, const char *ids, int64_t count)
{
	struct map_charge *charge;
	uint32_t id;

	for (int64_t i = 0; i < count; i++) {
		memcpy(&id, ids + (size_t)i * sizeof(id), sizeof(id));
		pthread_mutex_lock(&memory->lock);
		charge = map_charges_find(memory, id);
		if (charge)
			charge->seen = memory->sweep;
		pthread_mutex_unlock(&memory->lock);
	}
}

static int64_t scan_entries(struct map_memory *memory, struct map *map,
			    struct map_walk *walk, uint32_t entries)
{
	char *bytes = malloc(entries * ((size_t)map->key_size + sizeof(int)));
	struct map_walk_buffer buffer = { .values = bytes,
					  .keys = bytes + entries * sizeof(int),
					  .entries = entries };
	int64_t n = bytes ? 0 : -ENOMEM;

	while (n >= 0 && walk->position != MAP_WALK_DONE) {
		n = map_walk_next(map, walk, &buffer);
		mark_seen(memory, buffer.values, n);
	}
	free(bytes);
	return n;
}

/* An empty slot takes as long to read as a full one; hash buckets have none. */
static bool may_scan(struct map_memory *memory, const struct map *map)
{
	static struct log_limit limit = LOG_LIMIT_INITIALIZER;
	bool may;

	if (map->traits & MAP_BUCKETS)
		return true;
	pthread_mutex_lock(&memory->lock);
	may = map->max_entries <= memory->inner_sweep.slots_left;
	if (may)
		memory->inner_sweep.slots_left -= map->max_entries;
	pthread_mutex_unlock(&memory->lock);
	if (!may)
		log_limited(&limit, LOG_WARNING,
			    "not looking into map %u of %u entries: with the "
			    "arrays of maps before it that would take long; "
			    "maps in maps count on, even those that have gone",
			    map->resource.id, map->max_entries);
	return may;
}

/* Only by walks that find every entry that stays while others change. */
static int scan(struct map_memory *memory, struct map *map)
{
	struct map_walk walk = { .position = MAP_WALK_START,
				 .mode = MAP_WALK_READ,
				 .stopped = &memory->stopped };
	size_t entry = map->key_size + sizeof(int);
	size_t entries = SCAN_BYTES / entry + 1;
	size_t most = MAX_SCAN_BYTES / entry;
	int64_t n = -ENOBUFS;

	if (!(map->traits & (MAP_BUCKETS | MAP_KEY_BATCH)))
		return -ENOTSUP;
	if (!may_scan(memory, map))
		return -E2BIG;
	if (entries > map->max_entries)
		entries = map->max_entries;
	walk.cursor = malloc(map_walk_cursor_size(map, &walk));
	if (!walk.cursor)
		return -ENOMEM;
	while (n == -ENOBUFS && entries <= most) {
		n = scan_entries(memory, map, &walk, (uint32_t)entries);
		/* try the maximum itself before giving up */
		entries = entries < most && entries * 2 > most ? most
							       : entries * 2;
	}
	free(walk.cursor);
	return n < 0 ? (int)n : 0;
}

void map_inner_sweep_scan(struct map_memory *memory, struct map *map)
{
	if (scan(memory, map) == 0)
		return;
	pthread_mutex_lock(&memory->lock);
	memory->inner_sweep.failed = true;
	pthread_mutex_unlock(&memory->lock);
}

/* --- All open maps ------------------------------------------------------ */

static struct map *ref_to_read(struct map_charge *charge)
{
	struct map *map;

	LIST_FOREACH(map, &charge->open, entry)
	if (!map->write_only && resource_try_ref(&map->resource))
		return map;
	return NULL;
}

/* An open outer map of the bucket that is not scanned yet. */
static struct map *ref_unscanned(struct map_memory *memory, size_t bucket)
{
	struct map_charge *charge;
	struct map *map;

	LIST_FOREACH(charge, &memory->buckets[bucket], entry)
	if (is_unscanned(memory, charge) && (map = ref_to_read(charge))) {
		charge->scanned = memory->sweep;
		return map;
	}
	return NULL;
}

static struct map *next_outer(struct map_memory *memory, size_t *bucket)
{
	struct map *map = NULL;

	pthread_mutex_lock(&memory->lock);
	while (*bucket < MAP_CHARGES_BUCKETS) {
		map_charges_pause(memory, *bucket);
		map = ref_unscanned(memory, *bucket);
		if (map)
			break;
		++*bucket;
	}
	pthread_mutex_unlock(&memory->lock);
	return map;
}

void map_inner_sweep_scan_open(struct map_memory *memory)
{
	struct map *map;
	size_t bucket = 0;

	while ((map = next_outer(memory, &bucket))) {
		map_inner_sweep_scan(memory, map);
		map_unref(map);
	}
}

/* An outer map that is open for writing only cannot be scanned. */
static bool is_any_unscanned(struct map_memory *memory)
{
	struct map_charge *charge;
	bool any = false;

	for (size_t i = 0; !any && i < MAP_CHARGES_BUCKETS; i++) {
		map_charges_pause(memory, i);
		LIST_FOREACH(charge, &memory->buckets[i], entry)
		any |= is_unscanned(memory, charge) &&
		       !LIST_EMPTY(&charge->open);
	}
	return any;
}

bool map_inner_sweep_is_complete(struct map_memory *memory)
{
	return !memory->inner_sweep.failed && !is_any_unscanned(memory);
}
