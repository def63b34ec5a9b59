/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Charges maps for their memory. The kernel is never asked for more than the
 * limit: the least that a map will need is charged before it is created, and
 * the rest that the kernel reports afterwards.
 *
 * Not charged: local storage, which grows with the host's sockets, files and
 * processes; and opening maps made elsewhere, which takes no memory.
 */
#include "limits/map_memory.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/rwlock.h"
#include "bpf/map_size.h"
#include "limits/map_charges.h"
#include "limits/map_inner_sweep.h"
#include "limits/map_sweep.h"

#define SMALL (1 << 14)  /* a map is small if this many fit into the limit */
#define MIN_CHARGES 1024 /* fewer start no sweep by their number */

struct map_memory *map_memory_new(uint64_t max)
{
	struct map_memory *memory = calloc(1, sizeof(*memory));

	if (!memory)
		return NULL;
	memory->max = max;
	memory->sweep_at = MIN_CHARGES;
	pthread_mutex_init(&memory->lock, NULL);
	pthread_cond_init(&memory->ended, NULL);
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
	memory->state = NULL; /* what is kept stays */
	for (size_t i = 0; has_limit(memory) && i < MAP_CHARGES_BUCKETS; i++)
		while ((charge = LIST_FIRST(&memory->buckets[i])))
			map_charges_remove(charge);
	pthread_mutex_destroy(&memory->lock);
	pthread_cond_destroy(&memory->ended);
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

void map_memory_will_be_used(struct map *map)
{
	atomic_store(&map->kept, true);
}

void map_memory_will_be_inner(struct map *map)
{
	atomic_store(&map->kept, true);
	atomic_store(&map->inner, true);
}

/*
 * No descriptor is left here, but a pin, another map or a handle opened by id
 * may still hold the map. The kernel is clearing a prog_array now, which is
 * lost for good if it is opened meanwhile: that is left to a sweep.
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

/* Called when a charged map is closed, with its last reference. */
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
	/* a map not kept is gone with its last handle: save the call */
	if (look && (!charge->kept || (charge->bytes == 0 && !charge->outer))) {
		map_charges_remove(charge);
		look = false;
	}
	pthread_mutex_unlock(&memory->lock);
	if (look)
		release_kept(memory, id, type);
}

/* --- Making ------------------------------------------------------------- */

int map_memory_refuse(const struct map_memory *memory, const char *caller,
		      uint64_t bytes)
{
	static struct log_limit limit =
		LOG_LIMIT_OF("refused", "max_map_memory");

	log_limited(&limit, LOG_WARNING,
		    "refused %s a map of %llu bytes or more: with those that "
		    "are there it is more than --max-map-memory %llu",
		    caller, (unsigned long long)bytes,
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
 * A small map is charged the most that it can come to, so that creating one
 * takes no more system calls than without a limit.
 */
static bool is_small(const struct map_memory *memory, uint64_t bytes)
{
	return bytes <= memory->max / SMALL;
}

/*
 * Raises the charge to the bytes that the kernel reports. An error if it
 * reports none: such a map cannot be charged.
 */
static int raise_charge(struct map_memory *memory, struct map_charge *charge,
			const struct map *map, const char *caller)
{
	uint64_t bytes, more;
	int error = map_get_memory(map, &bytes);

	if (error < 0 || bytes <= charge->bytes)
		return error;
	more = bytes - charge->bytes;
	if (!reserve_or_sweep(memory, more))
		return map_memory_refuse(memory, caller, bytes);
	charge->bytes += more;
	return 0;
}

/* On an error nothing is charged. */
static int make(struct map_memory *memory, struct map_charge *charge,
		const struct map_spec *spec, const char *caller,
		struct map **map)
{
	int error;

	if (!reserve_or_sweep(memory, charge->bytes))
		return map_memory_refuse(memory, caller, charge->bytes);
	error = map_new(spec, map);
	if (error == 0 && !is_small(memory, charge->bytes))
		error = raise_charge(memory, charge, *map, caller);
	if (error < 0) {
		map_unref(*map);
		*map = NULL;
		map_charges_give_back(memory, charge->bytes);
	}
	return error;
}

/*
 * The charges of maps that are gone take memory too: a sweep removes them when
 * there are twice as many as the last one left.
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

/* Called with the lock. */
static void register_open(struct map_charge *charge, struct map *map)
{
	LIST_INSERT_HEAD(&charge->open, map, entry);
	map->charge = charge;
	map->resource.closed = release;
}

int map_memory_make(struct map_memory *memory, const struct map_spec *spec,
		    const char *caller, struct map **map)
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
	if (!is_small(memory, charge->bytes))
		charge->bytes = map_size_needed(spec);
	error = map_charges_take(memory, charge);
	if (error == 0)
		error = make(memory, charge, spec, caller, map);
	if (error < 0) {
		map_charges_free(memory, charge);
		return error;
	}
	pthread_mutex_lock(&memory->lock);
	map_charges_add(memory, charge, *map);
	charge->scanned = memory->sweep; /* it is empty */
	/* see release_kept() */
	charge->kept = spec->type == BPF_MAP_TYPE_PROG_ARRAY;
	map_charges_write(memory, charge);
	register_open(charge, *map);
	pthread_mutex_unlock(&memory->lock);
	return 0;
}

/* --- Adopting ----------------------------------------------------------- */

/* Less than this part of the limit left: charges of maps gone count. */
#define LITTLE 4

static uint64_t left(struct map_memory *memory)
{
	uint64_t bytes;

	pthread_mutex_lock(&memory->lock);
	bytes = memory->used < memory->max ? memory->max - memory->used : 0;
	pthread_mutex_unlock(&memory->lock);
	return bytes;
}

uint64_t map_memory_left(struct map_memory *memory)
{
	if (!has_limit(memory))
		return UINT64_MAX;
	bound_charges(memory);
	if (left(memory) < memory->max / LITTLE)
		map_sweep(memory);
	return left(memory);
}

/* What it takes when full, or what the kernel reports if that is more. */
static int measure(const struct map *map, uint64_t *bytes)
{
	struct map_info info;
	struct map_spec spec = { .type = 0 };
	int error = map_get_info(map, &info);

	if (error < 0)
		return error;
	spec.type = info.type;
	spec.key_size = info.key_size;
	spec.value_size = info.value_size;
	spec.max_entries = info.max_entries;
	spec.flags = info.flags;
	*bytes = map_size_needed(&spec);
	if (info.memlock > *bytes)
		*bytes = info.memlock;
	return 0;
}

/* True: it has a charge already, which counts for this descriptor as well. */
static bool register_known(struct map_memory *memory, struct map *map)
{
	struct map_charge *charge = map_charges_find(memory, map->resource.id);

	if (charge)
		register_open(charge, map);
	return charge != NULL;
}

/* Frees what it does not need, as when another thread was faster. */
static void register_adopted(struct map_memory *memory,
			     struct map_charge *charge, struct map *map)
{
	pthread_mutex_lock(&memory->lock);
	if (register_known(memory, map)) {
		memory->used -= charge->bytes;
		map_charges_free(memory, charge);
	} else {
		map_charges_add(memory, charge, map);
		charge->kept = true; /* by its program */
		map_charges_write(memory, charge);
		register_open(charge, map);
	}
	pthread_mutex_unlock(&memory->lock);
}

static int charge_adopted(struct map_memory *memory, const char *caller,
			  struct map *map)
{
	struct map_charge *charge = calloc(1, sizeof(*charge));
	int error = charge ? measure(map, &charge->bytes) : -ENOMEM;

	if (error == 0)
		error = map_charges_take(memory, charge);
	if (error == 0 && !reserve_or_sweep(memory, charge->bytes))
		error = map_memory_refuse(memory, caller, charge->bytes);
	if (error < 0)
		map_charges_free(memory, charge);
	else
		register_adopted(memory, charge, map);
	return error;
}

static int adopt(struct map_memory *memory, const char *caller, struct map *map)
{
	bool known;

	map_memory_will_be_used(map);
	pthread_mutex_lock(&memory->lock);
	known = register_known(memory, map);
	pthread_mutex_unlock(&memory->lock);
	return known ? 0 : charge_adopted(memory, caller, map);
}

int map_memory_adopt(struct map_memory *memory, const char *caller,
		     struct map *const *maps, size_t count)
{
	int error = 0;

	if (!has_limit(memory))
		return 0;
	bound_charges(memory);
	for (size_t i = 0; i < count && error == 0; i++)
		error = adopt(memory, caller, maps[i]);
	return error;
}

/* --- Opening ------------------------------------------------------------ */

/* True: the caller must scan the map. Sets *spare to NULL if it is used. */
static bool register_pinned(struct map_memory *memory,
			    struct map_charge **spare, struct map *map)
{
	struct map_charge *charge;
	bool scan;

	pthread_mutex_lock(&memory->lock);
	charge = map_charges_find(memory, map->resource.id);
	if (!charge) {
		charge = *spare;
		*spare = NULL;
		map_charges_add(memory, charge, map);
	}
	register_open(charge, map);
	scan = map_inner_sweep_claim(memory, charge);
	pthread_mutex_unlock(&memory->lock);
	return scan;
}

/* A map open for writing only is read by a second descriptor. */
static void scan_pinned(struct map_memory *memory, struct map *map,
			const char *path)
{
	struct map *readable = NULL;

	if (map->write_only &&
	    map_open_pinned(path, BPF_F_RDONLY, &readable) == 0 &&
	    readable->resource.id == map->resource.id)
		map = readable;
	map_inner_sweep_scan(memory, map);
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
		map_memory_will_be_pinned(*map); /* it already is */
		if (register_pinned(memory, &spare, *map))
			scan_pinned(memory, *map, path);
	}
	pthread_rwlock_unlock(&memory->opening);
	free(spare);
	return error;
}

/*
 * The charge is kept before the map is opened: a thread that closes the last
 * other handle then checks whether the map still exists.
 */
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

/* The map is open, so that its charge stays. */
int map_memory_open_view(struct map_memory *memory, const struct map *map,
			 struct map **view)
{
	int error = map_open_view(map, view);

	if (error < 0 || !map->charge)
		return error;
	pthread_mutex_lock(&memory->lock);
	register_open(map->charge, *view);
	pthread_mutex_unlock(&memory->lock);
	return 0;
}

/* --- Over a restart ------------------------------------------------------- */

void map_memory_keep(struct map_memory *memory, struct state *state)
{
	memory->state = state;
}

void map_memory_spare(struct map_memory *memory, uint32_t id)
{
	struct map_charge *charge = map_charges_find(memory, id);

	if (charge)
		charge->spared = true;
}

/*
 * It is not known what else holds the map: as if it were pinned and in another
 * map.
 */
int map_memory_restore(struct map_memory *memory, uint32_t record,
		       const void *bytes, size_t size)
{
	struct map_charge *charge = calloc(1, sizeof(*charge));

	if (!charge)
		return -ENOMEM;
	if (!map_charges_read(bytes, size, charge) ||
	    charge->bytes > INT64_MAX - memory->used ||
	    map_charges_find(memory, charge->id)) {
		free(charge);
		return -EINVAL;
	}
	if (!has_limit(memory)) { /* it may count at another start */
		free(charge);
		return 0;
	}
	charge->record = record;
	charge->kept = true;
	charge->inner = true;
	memory->used += charge->bytes;
	map_charges_insert(memory, charge);
	return 0;
}
