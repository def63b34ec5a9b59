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
#include <stdlib.h>
#include <sys/queue.h>

#include "log.h"
#include "map_octets.h"
#include "pins.h"

struct map_charge {
	struct map_memory *memory;
	uint64_t octets;
	uint32_t id;
	SLIST_ENTRY(map_charge) others;
};

SLIST_HEAD(charges, map_charge);

struct map_memory {
	uint64_t max;
	pthread_mutex_t lock;
	uint64_t used;
	struct charges kept;        /* closed here, and perhaps not gone */
	pthread_mutex_t sweep_lock; /* before lock; who looks for them */
};

struct map_memory *map_memory_new(uint64_t max)
{
	struct map_memory *memory = calloc(1, sizeof(*memory));

	if (!memory)
		return NULL;
	memory->max = max;
	pthread_mutex_init(&memory->lock, NULL);
	pthread_mutex_init(&memory->sweep_lock, NULL);
	SLIST_INIT(&memory->kept);
	return memory;
}

void map_memory_free(struct map_memory *memory)
{
	struct map_charge *charge;

	if (!memory)
		return;
	while ((charge = SLIST_FIRST(&memory->kept))) {
		SLIST_REMOVE_HEAD(&memory->kept, others);
		free(charge);
	}
	pthread_mutex_destroy(&memory->lock);
	pthread_mutex_destroy(&memory->sweep_lock);
	free(memory);
}

/* --- Counting ----------------------------------------------------------- */

static bool reserve(struct map_memory *memory, uint64_t octets)
{
	bool fits;

	pthread_mutex_lock(&memory->lock);
	fits = octets <= memory->max - memory->used;
	if (fits)
		memory->used += octets;
	pthread_mutex_unlock(&memory->lock);
	return fits;
}

static void give_back(struct map_memory *memory, uint64_t octets)
{
	pthread_mutex_lock(&memory->lock);
	memory->used -= octets;
	pthread_mutex_unlock(&memory->lock);
}

static void settle(struct map_charge *charge, bool there)
{
	struct map_memory *memory = charge->memory;

	if (there) {
		pthread_mutex_lock(&memory->lock);
		SLIST_INSERT_HEAD(&memory->kept, charge, others);
		pthread_mutex_unlock(&memory->lock);
	} else {
		give_back(memory, charge->octets);
		free(charge);
	}
}

/* 1: it is there, 0: it is not; -EPERM: that may not be known by its id. */
static int look_for(uint32_t id)
{
	struct map *map;
	int error = map_open_id(id, 0, &map);

	if (error == -EPERM)
		return error;
	if (error == 0)
		map_unref(map);
	return error != -ENOENT;
}

/* Other handles may hold it too, of who opened it by its id. */
void map_memory_release(struct map_charge *charge, bool kept)
{
	int there = look_for(charge->id);

	settle(charge, there < 0 ? kept : there > 0);
}

static bool is_pinned(const struct pins *pins, uint32_t id)
{
	for (size_t i = 0; i < pins->count; i++)
		if (pins->list[i].map_id == id)
			return true;
	return false;
}

/* What is pinned, found out when it is first asked for. */
struct pinned {
	struct pins pins;
	bool looked;
	bool known;
};

/* Who may not open by id sees what is pinned, and not what is in a map. */
static bool is_there(uint32_t id, struct pinned *pinned)
{
	int there = look_for(id);

	if (there >= 0)
		return there > 0;
	if (!pinned->looked) {
		pinned->looked = true;
		pinned->known = pins_find(&pinned->pins) == 0;
	}
	return !pinned->known || is_pinned(&pinned->pins, id);
}

/* Gives back what was kept and is gone by now. */
static void sweep(struct map_memory *memory)
{
	struct pinned pinned = { .looked = false };
	struct map_charge *charge;
	struct charges kept;

	pthread_mutex_lock(&memory->sweep_lock);
	pthread_mutex_lock(&memory->lock);
	kept = memory->kept;
	SLIST_INIT(&memory->kept);
	pthread_mutex_unlock(&memory->lock);
	while ((charge = SLIST_FIRST(&kept))) {
		SLIST_REMOVE_HEAD(&kept, others);
		settle(charge, is_there(charge->id, &pinned));
	}
	pins_free(&pinned.pins);
	pthread_mutex_unlock(&memory->sweep_lock);
}

static int refuse(const struct map_memory *memory, const char *who,
		  uint64_t octets)
{
	static struct log_limit limit = LOG_LIMIT_INITIALIZER;

	log_limited(&limit, LOG_WARNING,
		    "refused %s a map of %llu octets or more: with those that "
		    "are there it is more than --max-map-memory %llu",
		    who, (unsigned long long)octets,
		    (unsigned long long)memory->max);
	return -ENOMEM;
}

static bool reserve_or_sweep(struct map_memory *memory, uint64_t octets)
{
	if (reserve(memory, octets))
		return true;
	if (octets > memory->max)
		return false;
	sweep(memory);
	return reserve(memory, octets);
}

/* --- Making ------------------------------------------------------------- */

/* To what the kernel says, where that is more. False: it is too much. */
static bool adjust(struct map_charge *charge, const struct map *map)
{
	struct map_info info;
	uint64_t more;

	if (map_get_info(map, &info) < 0 || info.memlock <= charge->octets)
		return true;
	more = info.memlock - charge->octets;
	if (!reserve_or_sweep(charge->memory, more))
		return false;
	charge->octets += more;
	return true;
}

/* 0 with the map; else nothing is charged. */
static int make(struct map_charge *charge, const struct map_spec *spec,
		const char *who, struct map **map)
{
	struct map_memory *memory = charge->memory;
	int error;

	if (!reserve_or_sweep(memory, charge->octets))
		return refuse(memory, who, charge->octets);
	error = map_new(spec, map);
	if (error == 0 && !adjust(charge, *map)) {
		map_unref(*map);
		*map = NULL;
		error = refuse(memory, who, charge->octets);
	}
	if (error < 0)
		give_back(memory, charge->octets);
	return error;
}

int map_memory_make(struct map_memory *memory, const struct map_spec *spec,
		    const char *who, struct map **map)
{
	struct map_charge *charge;
	int error;

	if (memory->max == UINT64_MAX)
		return map_new(spec, map);
	charge = calloc(1, sizeof(*charge));
	if (!charge)
		return -ENOMEM;
	charge->memory = memory;
	charge->octets = map_octets_needed(spec);
	error = make(charge, spec, who, map);
	if (error < 0) {
		free(charge);
		return error;
	}
	charge->id = (*map)->id;
	(*map)->charge = charge;
	return 0;
}
