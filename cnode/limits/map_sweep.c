/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the maps not open here that are gone: by id, if this process may open
 * maps by id; otherwise by looking at all that may hold one: pins, and maps in
 * maps that are pinned or open. A map that only a program or another process
 * holds is not seen then.
 *
 * Other threads run on meanwhile, so a map may move to a holder that the sweep
 * has already passed. But to be moved it must be opened, and a sweep spares
 * every map that was open while it ran. The maps in an outer map are covered
 * likewise: a thread that opens one during a sweep scans it.
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
#define MAX_SCAN_BYTES ((size_t)1 << 26) /* for a bucket that large */
/* Array slots that one sweep reads: callers wait for it, about 2 s. */
#define MAX_SLOTS ((uint32_t)1 << 21)

int map_exists(uint32_t id)
{
	struct map *map;
	/* a security module may allow only reading */
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

/* The next closed map to check, from *bucket on; 0: none. */
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

/* --- Maps in maps ------------------------------------------------------- */

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
	struct map_walk_room room = { .values = bytes,
				      .keys = bytes + entries * sizeof(int),
				      .entries = entries };
	int64_t n = bytes ? 0 : -ENOMEM;

	while (n >= 0 && walk->position != MAP_WALK_DONE) {
		n = map_walk_next(map, walk, &room);
		mark_seen(memory, room.values, n);
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
	may = map->max_entries <= memory->slots_left;
	if (may)
		memory->slots_left -= map->max_entries;
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

void map_sweep_scan(struct map_memory *memory, struct map *map)
{
	if (scan(memory, map) == 0)
		return;
	pthread_mutex_lock(&memory->lock);
	memory->scan_failed = true;
	pthread_mutex_unlock(&memory->lock);
}

/* --- By holders --------------------------------------------------------- */

/* False if no map may be gone. Sets sweeping if one of them may be inner. */
static bool begin(struct map_memory *memory)
{
	struct map_charge *charge;
	bool closed = false, inner = false;

	pthread_mutex_lock(&memory->lock);
	memory->scan_failed = false;
	memory->slots_left = MAX_SLOTS;
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

static bool is_unscanned(const struct map_memory *memory,
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

static void scan_open(struct map_memory *memory)
{
	struct map *map;
	size_t bucket = 0;

	while ((map = next_outer(memory, &bucket))) {
		map_sweep_scan(memory, map);
		map_unref(map);
	}
}

/*
 * A pinned map exists. An outer map gets a charge, so that several pins of it
 * lead to one scan.
 */
static int visit_pinned(struct map *map, void *context)
{
	struct map_memory *memory = context;
	struct map_charge *charge, *new = calloc(1, sizeof(*new));
	bool scan = false;

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
		scan = memory->sweeping && is_unscanned(memory, charge);
		if (scan)
			charge->scanned = memory->sweep;
	}
	pthread_mutex_unlock(&memory->lock);
	free(new);
	if (scan)
		map_sweep_scan(memory, map);
	return 0;
}

/* Waits until threads that are opening a pin have registered the map. */
static void end(struct map_memory *memory)
{
	pthread_rwlock_wrlock(&memory->opening);
	pthread_mutex_lock(&memory->lock);
	memory->sweeping = false;
	pthread_mutex_unlock(&memory->lock);
	pthread_rwlock_unlock(&memory->opening);
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

static void remove_gone(struct map_memory *memory, bool inner)
{
	struct map_charge *charge, *next;

	pthread_mutex_lock(&memory->lock);
	inner = inner && !memory->scan_failed && !is_any_unscanned(memory);
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

static void sweep_by_holders(struct map_memory *memory)
{
	bool inner, known;

	if (!begin(memory))
		return;
	inner = memory->sweeping; /* only this thread sets it */
	if (inner)
		scan_open(memory);
	known = pins_each(visit_pinned, memory) == 0;
	end(memory);
	if (known)
		remove_gone(memory, inner);
}

/* Only one thread is in here: sweep and swept differ until it ends. */
static void sweep(struct map_memory *memory)
{
	memory->sweep++;
	pthread_mutex_unlock(&memory->lock);
	if (map_may_open_by_id())
		sweep_by_id(memory);
	else
		sweep_by_holders(memory);
	pthread_mutex_lock(&memory->lock);
	memory->swept = memory->sweep;
	pthread_cond_broadcast(&memory->ended);
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
			pthread_cond_wait(&memory->ended, &memory->lock);
	}
	pthread_mutex_unlock(&memory->lock);
}
