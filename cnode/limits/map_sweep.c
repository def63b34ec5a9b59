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

#include "bpf/map.h"
#include "bpf/pins.h"
#include "limits/map_charges.h"
#include "limits/map_inner_sweep.h"

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
	return !charge->spared && LIST_EMPTY(&charge->open) &&
	       charge->seen != memory->sweep;
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

/* --- By holders --------------------------------------------------------- */

/* False if no map may be gone. Sweeps inner maps if one of those may be. */
static bool begin(struct map_memory *memory)
{
	struct map_charge *charge;
	bool closed = false, inner = false;

	pthread_mutex_lock(&memory->lock);
	map_inner_sweep_start(memory);
	for (size_t i = 0; i < MAP_CHARGES_BUCKETS; i++) {
		map_charges_pause(memory, i);
		LIST_FOREACH(charge, &memory->buckets[i], entry)
		if (is_gone(memory, charge)) {
			closed = true;
			inner |= charge->inner;
		}
	}
	memory->inner_sweep.on = inner;
	pthread_mutex_unlock(&memory->lock);
	return closed;
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
	if (!charge && memory->inner_sweep.on &&
	    map->traits & MAP_VALUE_IS_MAP) {
		charge = new;
		new = NULL;
		map_charges_add(memory, charge, map);
	}
	if (charge) {
		charge->seen = memory->sweep;
		scan = map_inner_sweep_claim(memory, charge);
	}
	pthread_mutex_unlock(&memory->lock);
	free(new);
	if (scan)
		map_inner_sweep_scan(memory, map);
	return 0;
}

/* Waits until threads that are opening a pin have registered the map. */
static void end(struct map_memory *memory)
{
	pthread_rwlock_wrlock(&memory->opening);
	pthread_mutex_lock(&memory->lock);
	memory->inner_sweep.on = false;
	pthread_mutex_unlock(&memory->lock);
	pthread_rwlock_unlock(&memory->opening);
}

static void remove_gone(struct map_memory *memory, bool inner)
{
	struct map_charge *charge, *next;

	pthread_mutex_lock(&memory->lock);
	inner = inner && map_inner_sweep_is_complete(memory);
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
	inner = memory->inner_sweep.on; /* only this thread sets it */
	if (inner)
		map_inner_sweep_scan_open(memory);
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
