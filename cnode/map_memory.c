/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much memory the maps take that are made here. No more than the limit is
 * asked of the kernel: what a map will need at least is reserved before it is
 * made, and what the kernel says is added afterwards.
 *
 * Not counted are local storage, which grows with the host's sockets, files and
 * processes, and who opens what others made: that takes none.
 */
#include "map_memory.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>

#include "log.h"
#include "map_charges.h"
#include "map_octets.h"
#include "map_sweep.h"
#include "rwlock.h"

struct map_memory *map_memory_new(uint64_t max)
{
	struct map_memory *memory = calloc(1, sizeof(*memory));

	if (!memory)
		return NULL;
	memory->max = max;
	pthread_mutex_init(&memory->lock, NULL);
	pthread_cond_init(&memory->over, NULL);
	rwlock_init(&memory->opening);
	return memory;
}

static bool has_limit(const struct map_memory *memory)
{
	return memory->max != UINT64_MAX;
}

void map_memory_free(struct map_memory *memory)
{
	struct map_charge *charge;

	if (!memory)
		return;
	for (size_t i = 0; has_limit(memory) && i < MAP_CHARGES_CHAINS; i++)
		while ((charge = LIST_FIRST(&memory->chains[i])))
			map_charges_remove(charge);
	pthread_mutex_destroy(&memory->lock);
	pthread_cond_destroy(&memory->over);
	pthread_rwlock_destroy(&memory->opening);
	free(memory);
}

void map_memory_stop(struct map_memory *memory)
{
	if (memory)
		atomic_store(&memory->stopped, true);
}

/* --- Closing ------------------------------------------------------------ */

void map_memory_will_be_pinned(struct map *map)
{
	atomic_store(&map->kept, true);
}

void map_memory_will_be_inner(struct map *map)
{
	atomic_store(&map->kept, true);
	atomic_store(&map->inner, true);
}

/* Nobody has it open here; who opened it by its id may hold it yet. */
static void release_last(struct map_memory *memory, uint32_t id)
{
	int there = map_sweep_look_for(id);
	struct map_charge *charge;

	pthread_mutex_lock(&memory->lock);
	charge = map_charges_find(memory, id);
	if (charge && LIST_EMPTY(&charge->open) &&
	    (there < 0 ? !charge->kept : there == 0))
		map_charges_remove(charge);
	pthread_mutex_unlock(&memory->lock);
}

void map_memory_release(struct map *map)
{
	struct map_charge *charge = map->charge;
	struct map_memory *memory = charge->memory;
	uint32_t id = map->id;
	bool last;

	pthread_mutex_lock(&memory->lock);
	LIST_REMOVE(map, same);
	charge->kept |= atomic_load(&map->kept);
	charge->inner |= atomic_load(&map->inner);
	charge->seen = memory->sweep;
	last = LIST_EMPTY(&charge->open);
	if (last && charge->octets == 0 && !charge->outer) {
		map_charges_remove(charge);
		last = false;
	}
	pthread_mutex_unlock(&memory->lock);
	if (last)
		release_last(memory, id);
}

/* --- Making ------------------------------------------------------------- */

static int refuse(const struct map_memory *memory, const char *who,
		  uint64_t octets)
{
	static struct log_limit limit =
		LOG_LIMIT_OF("refused", "max_map_memory");

	log_limited(&limit, LOG_WARNING,
		    "refused %s a map of %llu octets or more: with those that "
		    "are there it is more than --max-map-memory %llu",
		    who, (unsigned long long)octets,
		    (unsigned long long)memory->max);
	return -ENOMEM;
}

static bool reserve_or_sweep(struct map_memory *memory, uint64_t octets)
{
	if (map_charges_reserve(memory, octets))
		return true;
	if (octets > memory->max)
		return false;
	map_sweep(memory);
	return map_charges_reserve(memory, octets);
}

/* To what the kernel says, where that is more; what it does not say cannot be
 * counted. */
static int adjust(struct map_memory *memory, struct map_charge *charge,
		  const struct map *map, const char *who)
{
	struct map_info info;
	int error = map_get_info(map, &info);
	uint64_t more;

	if (error < 0 || info.memlock <= charge->octets)
		return error;
	more = info.memlock - charge->octets;
	if (!reserve_or_sweep(memory, more))
		return refuse(memory, who, info.memlock);
	charge->octets += more;
	return 0;
}

/* 0 with the map; else nothing is charged. */
static int make(struct map_memory *memory, struct map_charge *charge,
		const struct map_spec *spec, const char *who, struct map **map)
{
	int error;

	if (!reserve_or_sweep(memory, charge->octets))
		return refuse(memory, who, charge->octets);
	error = map_new(spec, map);
	if (error == 0)
		error = adjust(memory, charge, *map, who);
	if (error < 0) {
		map_unref(*map);
		*map = NULL;
		map_charges_give_back(memory, charge->octets);
	}
	return error;
}

/* With the lock. */
static void enter(struct map_charge *charge, struct map *map)
{
	LIST_INSERT_HEAD(&charge->open, map, same);
	map->charge = charge;
}

int map_memory_make(struct map_memory *memory, const struct map_spec *spec,
		    const char *who, struct map **map)
{
	struct map_charge *charge;
	int error;

	*map = NULL;
	if (!has_limit(memory))
		return map_new(spec, map);
	charge = calloc(1, sizeof(*charge));
	if (!charge)
		return -ENOMEM;
	charge->octets = map_octets_needed(spec);
	error = make(memory, charge, spec, who, map);
	if (error < 0) {
		free(charge);
		return error;
	}
	(*map)->write_only = spec->flags & BPF_F_WRONLY;
	pthread_mutex_lock(&memory->lock);
	map_charges_add(memory, charge, *map);
	charge->scanned = memory->sweep; /* there is nothing in it */
	enter(charge, *map);
	pthread_mutex_unlock(&memory->lock);
	return 0;
}

/* --- Opening ------------------------------------------------------------ */

/* True: what is in it is to be looked at. What of spare is not needed stays. */
static bool enter_opened(struct map_memory *memory, struct map_charge **spare,
			 struct map *map)
{
	struct map_charge *charge;
	bool unseen;

	pthread_mutex_lock(&memory->lock);
	charge = map_charges_find(memory, map->id);
	if (!charge) {
		charge = *spare;
		*spare = NULL;
		map_charges_add(memory, charge, map);
	}
	enter(charge, map);
	unseen = memory->sweeping && charge->outer &&
		 charge->scanned != memory->sweep;
	charge->scanned = unseen ? memory->sweep : charge->scanned;
	pthread_mutex_unlock(&memory->lock);
	return unseen;
}

/* Into what is open to write only, one looks by another descriptor. */
static void look_into(struct map_memory *memory, struct map *map,
		      const char *path)
{
	struct map *readable = NULL;

	if (map->write_only &&
	    map_open_pinned(path, BPF_F_RDONLY, &readable) == 0 &&
	    readable->id == map->id)
		map = readable;
	map_sweep_scan(memory, map);
	map_unref(readable);
}

int map_memory_open_pinned(struct map_memory *memory, const char *path,
			   uint32_t flags, struct map **map)
{
	struct map_charge *spare;
	int error;

	if (!has_limit(memory))
		return map_open_pinned(path, flags, map);
	spare = calloc(1, sizeof(*spare));
	if (!spare)
		return -ENOMEM;
	pthread_rwlock_rdlock(&memory->opening);
	error = map_open_pinned(path, flags, map);
	if (error == 0) {
		map_memory_will_be_pinned(*map); /* as it is already */
		(*map)->write_only = flags & BPF_F_WRONLY;
		if (enter_opened(memory, &spare, *map))
			look_into(memory, *map, path);
	}
	pthread_rwlock_unlock(&memory->opening);
	free(spare);
	return error;
}
