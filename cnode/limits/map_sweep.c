/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds out which of the maps are gone that nobody has open here. By their ids,
 * where this process may; else by looking at all that may hold them: pins, and
 * maps in maps that are pinned or open. What only a program or another process
 * holds is not seen then.
 *
 * Others go on meanwhile, so that a map may move from one holder to another
 * behind the back of a sweep. But to be moved it has to be opened, and what has
 * been open during the sweep is left alone. Likewise an outer map that is
 * opened: then who opens it looks at what is in it.
 */
#include "limits/map_sweep.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "bpf/map_walk.h"
#include "bpf/pins.h"
#include "limits/map_charges.h"

#define SCAN_BYTES ((size_t)1 << 18)
#define MAX_SCAN_BYTES ((size_t)1 << 26) /* for a bucket that is as large */
/* That one sweep looks at, one by one: others wait for it, 2 s perhaps. */
#define MAX_PLACES ((uint32_t)1 << 21)

int map_exists(uint32_t id)
{
	struct map *map;
	/* to read: a security module may give no more */
	int error = map_open_id(id, BPF_F_RDONLY, &map);

	if (error == -EPERM && !map_may_open_by_id())
		return error;
	if (error == 0)
		map_unref(map);
	return error != -ENOENT;
}

static bool is_gone(const struct map_memory *memory,
		    const struct map_charge *charge)
{
	return LIST_EMPTY(&charge->open) && charge->seen != memory->sweep;
}

/* --- By id -------------------------------------------------------------- */

/* One that has not been looked for yet, from a bucket on; 0: none. */
static uint32_t next_closed(struct map_memory *memory, size_t *bucket)
{
	struct map_charge *charge = NULL;
	uint32_t id = 0;

	pthread_mutex_lock(&memory->lock);
	for (; *bucket < MAP_CHARGES_BUCKETS; ++*bucket) {
		map_charges_pause(memory, *bucket);
		LIST_FOREACH(charge, &memory->buckets[*bucket], entry)
		if (is_gone(memory, charge))
			break;
		if (charge)
			break;
	}
	if (charge) {
		charge->seen = memory->sweep;
		id = charge->id;
	}
	pthread_mutex_unlock(&memory->lock);
	return id;
}

static void remove_closed(struct map_memory *memory, uint32_t id)
{
	struct map_charge *charge;

	pthread_mutex_lock(&memory->lock);
	charge = map_charges_find(memory, id);
	if (charge && LIST_EMPTY(&charge->open))
		map_charges_remove(charge);
	pthread_mutex_unlock(&memory->lock);
}

static void sweep_by_id(struct map_memory *memory)
{
	size_t bucket = 0;
	uint32_t id;

	while ((id = next_closed(memory, &bucket)) > 0)
		if (map_exists(id) == 0)
			remove_closed(memory, id);
}

/* --- What is in a map --------------------------------------------------- */

static void mark(struct map_memory *memory, const char *ids, int64_t count)
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
	struct map_walk_room room = { .values = bytes,
				      .keys = bytes + entries * sizeof(int),
				      .entries = entries };
	int64_t n = bytes ? 0 : -ENOMEM;

	while (n >= 0 && walk->position != MAP_WALK_DONE) {
		n = map_walk_next(map, walk, &room);
		mark(memory, room.values, n);
	}
	free(bytes);
	return n;
}

/* Empty places take as long as others, but for those in buckets. */
static bool may_scan(struct map_memory *memory, const struct map *map)
{
	static struct log_limit limit = LOG_LIMIT_INITIALIZER;
	bool may;

	if (map->traits & MAP_BUCKETS)
		return true;
	pthread_mutex_lock(&memory->lock);
	may = map->max_entries <= memory->places;
	if (may)
		memory->places -= map->max_entries;
	pthread_mutex_unlock(&memory->lock);
	if (!may)
		log_limited(&limit, LOG_WARNING,
			    "not looking into map %u of %u entries: with the "
			    "arrays of maps before it that would take long; "
			    "maps in maps count on, even those that have gone",
			    map->resource.id, map->max_entries);
	return may;
}

/* By what finds all that stays, whatever comes and goes beside it. */
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
		/* the most itself is tried, too, before it is given up */
		entries = entries < most && entries * 2 > most ? most
							       : entries * 2;
	}
	free(walk.cursor);
	return n < 0 ? (int)n : 0;
}

void map_sweep_scan(struct map_memory *memory, struct map *map)
{
	if (scan(memory, map) == 0)
		return;
	pthread_mutex_lock(&memory->lock);
	memory->unknown = true;
	pthread_mutex_unlock(&memory->lock);
}

/* --- By looking at what may hold them ------------------------------------ */

/* Whether there is anything to be found, and anything in maps. */
static bool begin(struct map_memory *memory)
{
	struct map_charge *charge;
	bool closed = false, inner = false;

	pthread_mutex_lock(&memory->lock);
	memory->unknown = false;
	memory->places = MAX_PLACES;
	memory->sweeping = true;
	for (size_t i = 0; i < MAP_CHARGES_BUCKETS; i++) {
		map_charges_pause(memory, i);
		LIST_FOREACH(charge, &memory->buckets[i], entry)
		if (is_gone(memory, charge)) {
			closed = true;
			inner |= charge->inner;
		}
	}
	memory->sweeping = inner;
	pthread_mutex_unlock(&memory->lock);
	return closed;
}

static bool is_unseen(const struct map_memory *memory,
		      const struct map_charge *charge)
{
	return charge->outer && charge->scanned != memory->sweep;
}

static struct map *ref_to_read(struct map_charge *charge)
{
	struct map *map;

	LIST_FOREACH(map, &charge->open, entry)
	if (!map->write_only && resource_try_ref(&map->resource))
		return map;
	return NULL;
}

/* In a bucket, an open one that nobody has looked into yet. */
static struct map *ref_unseen(struct map_memory *memory, size_t bucket)
{
	struct map_charge *charge;
	struct map *map;

	LIST_FOREACH(charge, &memory->buckets[bucket], entry)
	if (is_unseen(memory, charge) && (map = ref_to_read(charge))) {
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
		map = ref_unseen(memory, *bucket);
		if (map)
			break;
		++*bucket;
	}
	pthread_mutex_unlock(&memory->lock);
	return map;
}

static void scan_open(struct map_memory *memory)
{
	struct map *map;
	size_t bucket = 0;

	while ((map = next_outer(memory, &bucket))) {
		map_sweep_scan(memory, map);
		map_unref(map);
	}
}

/* What is pinned is there; an outer map at several places is noted, so as not
 * to be looked into at each. */
static int visit_pinned(struct map *map, void *context)
{
	struct map_memory *memory = context;
	struct map_charge *charge, *new = calloc(1, sizeof(*new));
	bool unseen = false;

	if (!new)
		return -ENOMEM;
	pthread_mutex_lock(&memory->lock);
	charge = map_charges_find(memory, map->resource.id);
	if (!charge && memory->sweeping && map->traits & MAP_VALUE_IS_MAP) {
		charge = new;
		new = NULL;
		map_charges_add(memory, charge, map);
	}
	if (charge) {
		charge->seen = memory->sweep;
		unseen = memory->sweeping && is_unseen(memory, charge);
		if (unseen)
			charge->scanned = memory->sweep;
	}
	pthread_mutex_unlock(&memory->lock);
	free(new);
	if (unseen)
		map_sweep_scan(memory, map);
	return 0;
}

/* Who is opening something has it in the table when this returns. */
static void end(struct map_memory *memory)
{
	pthread_rwlock_wrlock(&memory->opening);
	pthread_mutex_lock(&memory->lock);
	memory->sweeping = false;
	pthread_mutex_unlock(&memory->lock);
	pthread_rwlock_unlock(&memory->opening);
}

/* Whether one is open to write only, so that nobody could look into it. */
static bool is_any_unseen(struct map_memory *memory)
{
	struct map_charge *charge;
	bool any = false;

	for (size_t i = 0; !any && i < MAP_CHARGES_BUCKETS; i++) {
		map_charges_pause(memory, i);
		LIST_FOREACH(charge, &memory->buckets[i], entry)
		any |= is_unseen(memory, charge) && !LIST_EMPTY(&charge->open);
	}
	return any;
}

static void remove_gone(struct map_memory *memory, bool inner)
{
	struct map_charge *charge, *next;

	pthread_mutex_lock(&memory->lock);
	inner = inner && !memory->unknown && !is_any_unseen(memory);
	for (size_t i = 0; i < MAP_CHARGES_BUCKETS; i++) {
		map_charges_pause(memory, i);
		for (charge = LIST_FIRST(&memory->buckets[i]); charge;
		     charge = next) {
			next = LIST_NEXT(charge, entry);
			if (is_gone(memory, charge) &&
			    (inner || !charge->inner))
				map_charges_remove(charge);
		}
	}
	pthread_mutex_unlock(&memory->lock);
}

static void sweep_by_looking(struct map_memory *memory)
{
	bool inner, known;

	if (!begin(memory))
		return;
	inner = memory->sweeping; /* it is ours to set */
	if (inner)
		scan_open(memory);
	known = pins_each(visit_pinned, memory) == 0;
	end(memory);
	if (known)
		remove_gone(memory, inner);
}

/* Nobody else is at it: sweep and swept differ until it is over. */
static void sweep(struct map_memory *memory)
{
	memory->sweep++;
	pthread_mutex_unlock(&memory->lock);
	if (map_may_open_by_id())
		sweep_by_id(memory);
	else
		sweep_by_looking(memory);
	pthread_mutex_lock(&memory->lock);
	memory->swept = memory->sweep;
	pthread_cond_broadcast(&memory->over);
}

void map_sweep(struct map_memory *memory)
{
	uint64_t wanted;

	pthread_mutex_lock(&memory->lock);
	wanted = memory->sweep + 1;
	while (memory->swept < wanted) {
		if (memory->swept == memory->sweep)
			sweep(memory);
		else
			pthread_cond_wait(&memory->over, &memory->lock);
	}
	pthread_mutex_unlock(&memory->lock);
}
