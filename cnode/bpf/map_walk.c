/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walking a map by the largest steps that the kernel has for it: batches, or
 * else key by key. Knows no terms.
 *
 * The cursor of a map with buckets is the kernel's. That of another map is
 *
 *	Left:32 Key
 *
 * in host order: how many more entries may come, and the key that is next. It
 * is looked for a key ahead, so that who walks may remove what has come: from a
 * key that has gone the kernel goes back to the beginning.
 */
#include "bpf/map_walk.h"

#include <errno.h>
#include <string.h>

#define LEFT_SIZE 4
#define REPEATS 4
#define MAX_HOLES (1 << 18) /* in one system call: 20 ms */

/* What is to be kept before it leaves is taken one by one. */
static bool by_buckets(const struct map *map, const struct map_walk *walk)
{
	return map->traits & MAP_BUCKETS && !walk->keep;
}

size_t map_walk_cursor_size(const struct map *map, const struct map_walk *walk)
{
	return by_buckets(map, walk) ? MAP_BUCKET_CURSOR_SIZE
				     : LEFT_SIZE + map->key_size;
}

/* A step may have many turns, and of some types each takes milliseconds. */
static bool is_stopped(const struct map_walk *walk)
{
	return walk->stopped &&
	       atomic_load_explicit(walk->stopped, memory_order_relaxed);
}

static bool is_reading(const struct map_walk *walk)
{
	return walk->mode == MAP_WALK_READ || walk->mode == MAP_WALK_KEYS;
}

static int do_batch(struct map *map, const struct map_walk *walk,
		    struct map_batch *batch)
{
	return is_reading(walk) ? map_get_batch(map, batch)
				: map_take_batch(map, batch);
}

/* The kernel reads a cursor before it writes the next one: one room does. */
static int64_t next_buckets(struct map *map, struct map_walk *walk,
			    const struct map_walk_room *room)
{
	struct map_batch batch = {
		.cursor = walk->position == MAP_WALK_AT ? walk->cursor : NULL,
		.next_cursor = walk->cursor,
		.keys = room->keys,
		.values = room->values,
		.count = room->entries,
	};
	int error = do_batch(map, walk, &batch);

	if (error < 0 && error != -ENOENT) /* ENOSPC may be a lookup's, too */
		return error == -ENOSPC ? -ENOBUFS : error;
	walk->position = error == 0 ? MAP_WALK_AT : MAP_WALK_DONE;
	return batch.count;
}

/* --- By keys ------------------------------------------------------------ */

/* A walk by keys while a step of it goes on. */
struct keys {
	struct map *map;
	struct map_walk *walk;
	const struct map_walk_room *room;
	uint32_t count; /* entries so far */
	uint32_t left;
	char *next; /* the key of the cursor */
};

static char *place_of(const struct keys *k)
{
	return k->room->keys + (size_t)k->count * k->map->key_size;
}

/* Deals with the key in its place: one entry more, unless it has gone. */
static int visit(struct keys *k)
{
	char *value = k->room->values + k->count * map_entry_size(k->map);
	int error = -EINVAL;

	switch (k->walk->mode) {
	case MAP_WALK_KEYS:
		/* of numbers, only a lookup tells what is there from holes */
		error = k->map->traits & MAP_INDEXED
				? map_get(k->map, place_of(k), value)
				: 0;
		break;
	case MAP_WALK_READ:
		error = map_get(k->map, place_of(k), value);
		break;
	case MAP_WALK_TAKE:
		error = k->walk->keep
				? map_take_kept(k->map, place_of(k), value,
						k->walk->keep, k->walk->context)
				: map_take(k->map, place_of(k), value);
		break;
	case MAP_WALK_REMOVE:
		error = map_remove(k->map, place_of(k));
		break;
	}
	k->count += error == 0;
	return error == -ENOENT ? 0 : error;
}

/* What the kernel says of numbers, which cost a system call each. */
static int next_index(const struct map *map, const char *key, char *next)
{
	uint32_t index;

	memcpy(&index, key, sizeof(index));
	if (index == map->max_entries - 1)
		return -ENOENT;
	index = index < map->max_entries ? index + 1 : 0;
	memcpy(next, &index, sizeof(index));
	return 0;
}

static int next_key(struct keys *k, const char *key)
{
	/* the first is asked for: whether it may be */
	return key && k->map->traits & MAP_INDEXED
		       ? next_index(k->map, key, k->next)
		       : map_next_key(k->map, key, k->next);
}

/* The cursor goes to the key after key, or to the end. */
static int look_ahead(struct keys *k, const char *key)
{
	int error = k->left > 0 ? next_key(k, key) : -ENOENT;

	if (error == 0)
		k->walk->position = MAP_WALK_AT;
	else if (error == -ENOENT)
		k->walk->position = MAP_WALK_DONE;
	return error == -ENOENT ? 0 : error;
}

/* The key that is next, and what is after it. */
static int step(struct keys *k)
{
	int error = is_stopped(k->walk) ? -ECANCELED : 0;

	if (error == 0 && k->walk->position == MAP_WALK_START)
		error = look_ahead(k, NULL);
	if (error < 0 || k->walk->position == MAP_WALK_DONE)
		return error;
	memcpy(place_of(k), k->next, k->map->key_size);
	k->left--;
	error = look_ahead(k, place_of(k));
	if (error == 0)
		error = visit(k);
	if (error < 0) { /* the next step is to meet it again */
		memcpy(k->next, place_of(k), k->map->key_size);
		k->walk->position = MAP_WALK_AT;
	}
	return error;
}

/* Whether there is such a thing, and not too many holes that it goes over. */
static bool may_batch(const struct keys *k)
{
	uint32_t index = 0;

	if (!(k->map->traits & MAP_HOLES))
		return k->map->traits & MAP_KEY_BATCH;
	if (k->walk->position == MAP_WALK_AT)
		memcpy(&index, k->next, sizeof(index));
	/* a cursor may be anybody's: beyond the end is the beginning */
	return index < k->map->max_entries &&
	       k->map->max_entries - index <= MAX_HOLES;
}

/* Whether it is not known yet what is before the next key. */
static bool lacks_cursor(const struct keys *k)
{
	return k->count == 0 && k->walk->position == MAP_WALK_AT &&
	       !(k->map->traits & MAP_INDEXED);
}

/* What a batch goes on from is the key before the next one. */
static void *batch_cursor(const struct keys *k, uint32_t *before)
{
	if (k->count > 0)
		return place_of(k) - k->map->key_size;
	if (k->walk->position == MAP_WALK_START)
		return NULL;
	memcpy(before, k->next, sizeof(*before));
	return (*before)-- > 0 ? before : NULL;
}

/* More entries behind the last one, by a batch. */
static int read_batch(struct keys *k)
{
	size_t key_size = k->map->key_size;
	uint32_t before;
	struct map_batch batch = {
		.cursor = batch_cursor(k, &before),
		.next_cursor = k->next,
		.keys = place_of(k),
		.values = k->room->values + k->count * map_entry_size(k->map),
		.count = k->room->entries - k->count,
	};
	int error;

	if (batch.count > k->left)
		batch.count = k->left;
	if (batch.count == 0)
		return 0;
	error = map_get_batch(k->map, &batch);
	if (error < 0 && error != -ENOENT)
		return error;
	k->count += batch.count;
	k->left -= batch.count;
	if (error == -ENOENT || k->count == 0) {
		k->walk->position = MAP_WALK_DONE;
		return 0;
	}
	return look_ahead(k, place_of(k) - key_size);
}

/* An error after some entries is left to the next step, which meets it again */
static int read_or_remove(struct keys *k)
{
	uint32_t steps = 0;
	int error = 0;

	if (is_reading(k->walk) && may_batch(k)) {
		while (error == 0 && lacks_cursor(k) && steps++ < MAP_WALK_MOST)
			error = step(k);
		if (error == 0 && k->walk->position != MAP_WALK_DONE &&
		    !lacks_cursor(k))
			error = read_batch(k);
		if (error != -ENOTSUP)
			return error;
		error = 0;
	}
	while (error == 0 && k->count < k->room->entries &&
	       k->walk->position != MAP_WALK_DONE && steps++ < MAP_WALK_MOST)
		error = step(k);
	return error;
}

/*
 * How many entries a walk may have: enough to begin anew several times. Types
 * that take no number of entries have as many as there are.
 */
static uint32_t entries_of(const struct map *map)
{
	uint64_t entries = (uint64_t)map->max_entries * REPEATS;

	if (map->max_entries == 0 || entries > UINT32_MAX)
		return UINT32_MAX;
	return (uint32_t)entries;
}

static int64_t next_keys(struct map *map, struct map_walk *walk,
			 const struct map_walk_room *room)
{
	struct keys k = {
		.map = map,
		.walk = walk,
		.room = room,
		.left = entries_of(map),
		.next = walk->cursor + LEFT_SIZE,
	};
	uint32_t left = UINT32_MAX;
	int error;

	if (walk->position == MAP_WALK_AT)
		memcpy(&left, walk->cursor, LEFT_SIZE);
	if (left < k.left) /* a cursor may be anybody's */
		k.left = left;
	error = k.left > 0 ? read_or_remove(&k) : 0;
	memcpy(walk->cursor, &k.left, LEFT_SIZE);
	if (k.left == 0)
		walk->position = MAP_WALK_DONE;
	return error < 0 && k.count == 0 ? error : (int64_t)k.count;
}

int64_t map_walk_next(struct map *map, struct map_walk *walk,
		      const struct map_walk_room *room)
{
	if (is_stopped(walk))
		return -ECANCELED;
	return by_buckets(map, walk) ? next_buckets(map, walk, room)
				     : next_keys(map, walk, room);
}
