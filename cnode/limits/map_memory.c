/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much memory the maps take that are made here. No more than the limit is
 * asked of the kernel: what a map will need at least is reserved before it is
 * made, and what the kernel says is added afterwards.
 *
 * Not counted are local storage, which grows with the host's sockets, files and
 * processes, and who opens what others made: that takes none.
 */
#include "limits/map_memory.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/rwlock.h"
#include "bpf/map_size.h"
#include "limits/map_charges.h"
#include "limits/map_sweep.h"

#define LITTLE (1 << 14) /* a map is, of which so many fit into the limit */
#define MIN_CHARGES 1024 /* that nobody looks for those to remove among */

struct map_memory *map_memory_new(uint64_t max)
{
	struct map_memory *memory = calloc(1, sizeof(*memory));

	if (!memory)
		return NULL;
	memory->max = max;
	memory->sweep_at = MIN_CHARGES;
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
	for (size_t i = 0; has_limit(memory) && i < MAP_CHARGES_BUCKETS; i++)
		while ((charge = LIST_FIRST(&memory->buckets[i])))
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

/*
 * Nobody has it open here, but a pin or another map may hold it yet, or a
 * handle that was opened by its id. A prog_array is being cleared now, and is
 * lost for good if it is opened meanwhile: a sweep is to look for that.
 */
static void release_kept(struct map_memory *memory, uint32_t id, uint32_t type)
{
	struct map_charge *charge;

	if (type == BPF_MAP_TYPE_PROG_ARRAY || map_exists(id) != 0)
		return;
	pthread_mutex_lock(&memory->lock);
	charge = map_charges_find(memory, id);
	if (charge && LIST_EMPTY(&charge->open))
		map_charges_remove(charge);
	pthread_mutex_unlock(&memory->lock);
}

/* The last reference to a map that has a charge has gone, and it is closed. */
static void release(struct resource *resource)
{
	struct map *map = (struct map *)resource;
	struct map_charge *charge = map->charge;
	struct map_memory *memory = charge->memory;
	uint32_t id = map->resource.id, type = map->type;
	bool look;

	pthread_mutex_lock(&memory->lock);
	LIST_REMOVE(map, entry);
	charge->kept |= atomic_load(&map->kept);
	charge->inner |= atomic_load(&map->inner);
	charge->seen = memory->sweep;
	look = LIST_EMPTY(&charge->open);
	/* what nobody kept has gone with its last handle: no call for that */
	if (look && (!charge->kept || (charge->bytes == 0 && !charge->outer))) {
		map_charges_remove(charge);
		look = false;
	}
	pthread_mutex_unlock(&memory->lock);
	if (look)
		release_kept(memory, id, type);
}

/* --- Making ------------------------------------------------------------- */

static int refuse(const struct map_memory *memory, const char *who,
		  uint64_t bytes)
{
	static struct log_limit limit =
		LOG_LIMIT_OF("refused", "max_map_memory");

	log_limited(&limit, LOG_WARNING,
		    "refused %s a map of %llu bytes or more: with those that "
		    "are there it is more than --max-map-memory %llu",
		    who, (unsigned long long)bytes,
		    (unsigned long long)memory->max);
	return -ENOMEM;
}

static bool reserve_or_sweep(struct map_memory *memory, uint64_t bytes)
{
	if (map_charges_reserve(memory, bytes))
		return true;
	if (bytes > memory->max)
		return false;
	map_sweep(memory);
	return map_charges_reserve(memory, bytes);
}

/*
 * A map that is little beside the limit counts with the most that it can come
 * to, so that making one takes no more calls than without a limit.
 */
static bool is_little(const struct map_memory *memory, uint64_t bytes)
{
	return bytes <= memory->max / LITTLE;
}

/* To what the kernel says, where that is more; what it does not say cannot be
 * counted. */
static int adjust(struct map_memory *memory, struct map_charge *charge,
		  const struct map *map, const char *who)
{
	uint64_t bytes, more;
	int error = map_get_memory(map, &bytes);

	if (error < 0 || bytes <= charge->bytes)
		return error;
	more = bytes - charge->bytes;
	if (!reserve_or_sweep(memory, more))
		return refuse(memory, who, bytes);
	charge->bytes += more;
	return 0;
}

/* 0 with the map; else nothing is charged. */
static int make(struct map_memory *memory, struct map_charge *charge,
		const struct map_spec *spec, const char *who, struct map **map)
{
	int error;

	if (!reserve_or_sweep(memory, charge->bytes))
		return refuse(memory, who, charge->bytes);
	error = map_new(spec, map);
	if (error == 0 && !is_little(memory, charge->bytes))
		error = adjust(memory, charge, *map, who);
	if (error < 0) {
		map_unref(*map);
		*map = NULL;
		map_charges_give_back(memory, charge->bytes);
	}
	return error;
}

/*
 * The charges of maps that have gone unseen take memory too: they are looked
 * for when there are twice as many as the last look left.
 */
static void bound_charges(struct map_memory *memory)
{
	bool many;

	pthread_mutex_lock(&memory->lock);
	many = memory->charges > memory->sweep_at;
	pthread_mutex_unlock(&memory->lock);
	if (!many)
		return;
	map_sweep(memory);
	pthread_mutex_lock(&memory->lock);
	memory->sweep_at = 2 * memory->charges + MIN_CHARGES;
	pthread_mutex_unlock(&memory->lock);
}

/* With the lock. */
static void register_open(struct map_charge *charge, struct map *map)
{
	LIST_INSERT_HEAD(&charge->open, map, entry);
	map->charge = charge;
	map->resource.closed = release;
}

int map_memory_make(struct map_memory *memory, const struct map_spec *spec,
		    const char *who, struct map **map)
{
	struct map_charge *charge;
	int error;

	*map = NULL;
	if (!has_limit(memory))
		return map_new(spec, map);
	bound_charges(memory);
	charge = calloc(1, sizeof(*charge));
	if (!charge)
		return -ENOMEM;
	charge->bytes = map_size_most(spec);
	if (!is_little(memory, charge->bytes))
		charge->bytes = map_size_needed(spec);
	error = make(memory, charge, spec, who, map);
	if (error < 0) {
		free(charge);
		return error;
	}
	pthread_mutex_lock(&memory->lock);
	map_charges_add(memory, charge, *map);
	charge->scanned = memory->sweep; /* there is nothing in it */
	/* the kernel may lose it at its last close, see release_kept() */
	charge->kept = spec->type == BPF_MAP_TYPE_PROG_ARRAY;
	register_open(charge, *map);
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
	charge = map_charges_find(memory, map->resource.id);
	if (!charge) {
		charge = *spare;
		*spare = NULL;
		map_charges_add(memory, charge, map);
	}
	register_open(charge, map);
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
	    readable->resource.id == map->resource.id)
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
		if (enter_opened(memory, &spare, *map))
			look_into(memory, *map, path);
	}
	pthread_rwlock_unlock(&memory->opening);
	free(spare);
	return error;
}

/* Before it is: so who closes the last one that was made or pinned looks. */
int map_memory_open_id(struct map_memory *memory, uint32_t id, uint32_t flags,
		       struct map **map)
{
	struct map_charge *charge;

	if (has_limit(memory)) {
		pthread_mutex_lock(&memory->lock);
		charge = map_charges_find(memory, id);
		if (charge)
			charge->kept = true;
		pthread_mutex_unlock(&memory->lock);
	}
	return map_open_id(id, flags, map);
}
