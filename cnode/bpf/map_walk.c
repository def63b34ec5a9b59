/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks a map in the largest steps that the kernel offers: in batches, or else
 * key by key. Knows no terms.
 *
 * On a map with buckets the cursor is the kernel's. On others it is
 *
 *	Left:32 Key
 *
 * in host order: how many more entries may come, and the next key. The walk
 * stays one key ahead, so that the caller may remove the entries it already
 * has: after a deleted key the kernel restarts from the first.
 */
#include "bpf/map_walk.h"

#include <errno.h>
#include <string.h>

#define LEFT_SIZE 4
#define REPEATS 4
#define MAX_HOLES (1 << 18) /* skipped by one system call: 20 ms */

/* With keep, each entry has to be taken by itself. */
static bool by_buckets(const struct map *map, const struct map_walk *walk)
{
	return map->traits & MAP_BUCKETS && !walk->keep;
}

size_t map_walk_cursor_size(const struct map *map, const struct map_walk *walk)
{
	return by_buckets(map, walk) ? MAP_BUCKET_CURSOR_SIZE
				     : LEFT_SIZE + map->key_size;
}

/* Checked for each key: on some types one takes milliseconds. */
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

/* The kernel reads the cursor before it writes the next: one buffer will do. */
static int64_t next_buckets(struct map *map, struct map_walk *walk,
			    const struct map_walk_buffer *buffer)
{
	struct map_batch batch = {
		.cursor = walk->position == MAP_WALK_AT ? walk->cursor : NULL,
		.next_cursor = walk->cursor,
		.keys = buffer->keys,
		.values = buffer->values,
		.count = buffer->entries,
	};
	int error = do_batch(map, walk, &batch);

	/* batches that only read return ENOSPC, too */
	if (error < 0 && error != -ENOENT)
		return error == -ENOSPC ? -ENOBUFS : error;
	walk->position = error == 0 ? MAP_WALK_AT : MAP_WALK_DONE;
	return batch.count;
}

/* --- By keys ------------------------------------------------------------ */

/* One step of a walk by keys. */
struct keys {
	struct map *map;
	struct map_walk *walk;
	const struct map_walk_buffer *buffer;
	uint32_t count; /* entries so far */
	uint32_t left;
	char *next; /* the next key, in the cursor */
};

static char *key_slot(const struct keys *k)
{
	return k->buffer->keys + (size_t)k->count * k->map->key_size;
}

/* Reads or removes the entry of the key in the slot, unless it was deleted. */
static int process_key(struct keys *k)
{
	char *value = k->buffer->values + k->count * map_entry_size(k->map);
	int error = -EINVAL;

	switch (k->walk->mode) {
	case MAP_WALK_KEYS:
		/* any index is a key: only a lookup finds empty slots */
		error = k->map->traits & MAP_INDEXED
				? map_get(k->map, key_slot(k), value)
				: 0;
		break;
	case MAP_WALK_READ:
		error = map_get(k->map, key_slot(k), value);
		break;
	case MAP_WALK_TAKE:
		error = k->walk->keep
				? map_take_kept(k->map, key_slot(k), value,
						k->walk->keep, k->walk->context)
				: map_take(k->map, key_slot(k), value);
		break;
	case MAP_WALK_REMOVE:
		error = map_remove(k->map, key_slot(k));
		break;
	}
	k->count += error == 0;
	return error == -ENOENT ? 0 : error;
}

/* Answers for an array without a system call per index. */
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
	/* the kernel is asked for the first key: it checks permissions */
	return key && k->map->traits & MAP_INDEXED
		       ? next_index(k->map, key, k->next)
		       : map_next_key(k->map, key, k->next);
}

/* Moves the cursor to the key after key, or to the end. */
static int advance(struct keys *k, const char *key)
{
	int error = k->left > 0 ? next_key(k, key) : -ENOENT;

	if (error == 0)
		k->walk->position = MAP_WALK_AT;
	else if (error == -ENOENT)
		k->walk->position = MAP_WALK_DONE;
	return error == -ENOENT ? 0 : error;
}

/* Finds the key after the next one, then processes the next one. */
static int step(struct keys *k)
{
	int error = is_stopped(k->walk) ? -ECANCELED : 0;

	if (error == 0 && k->walk->position == MAP_WALK_START)
		error = advance(k, NULL);
	if (error < 0 || k->walk->position == MAP_WALK_DONE)
		return error;
	memcpy(key_slot(k), k->next, k->map->key_size);
	k->left--;
	error = advance(k, key_slot(k));
	if (error == 0)
		error = process_key(k);
	if (error < 0) { /* the next step retries this key */
		memcpy(k->next, key_slot(k), k->map->key_size);
		k->walk->position = MAP_WALK_AT;
	}
	return error;
}

/* False without batches, or if one might skip more than MAX_HOLES slots. */
static bool may_batch(const struct keys *k)
{
	uint32_t index = 0;

	if (!(k->map->traits & MAP_HOLES))
		return k->map->traits & MAP_KEY_BATCH;
	if (k->walk->position == MAP_WALK_AT)
		memcpy(&index, k->next, sizeof(index));
	/* cursors are not trusted: past the end the kernel restarts at 0 */
	return index < k->map->max_entries &&
	       k->map->max_entries - index <= MAX_HOLES;
}

/* True while the key before the next one, a batch's cursor, is not known. */
static bool lacks_cursor(const struct keys *k)
{
	return k->count == 0 && k->walk->position == MAP_WALK_AT &&
	       !(k->map->traits & MAP_INDEXED);
}

/* A batch continues after its cursor: that is the key before the next one. */
static void *batch_cursor(const struct keys *k, uint32_t *before)
{
	if (k->count > 0)
		return key_slot(k) - k->map->key_size;
	if (k->walk->position == MAP_WALK_START)
		return NULL;
	memcpy(before, k->next, sizeof(*before));
	return (*before)-- > 0 ? before : NULL;
}

/* Appends a batch of entries. */
static int read_batch(struct keys *k)
{
	size_t key_size = k->map->key_size;
	uint32_t before;
	struct map_batch batch = {
		.cursor = batch_cursor(k, &before),
		.next_cursor = k->next,
		.keys = key_slot(k),
		.values = k->buffer->values + k->count * map_entry_size(k->map),
		.count = k->buffer->entries - k->count,
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
	return advance(k, key_slot(k) - key_size);
}

/* The caller drops an error after some entries: the next step gets it again. */
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
	while (error == 0 && k->count < k->buffer->entries &&
	       k->walk->position != MAP_WALK_DONE && steps++ < MAP_WALK_MOST)
		error = step(k);
	return error;
}

/*
 * The limit of entries in a walk: enough for several restarts. Types without
 * max_entries have no limit.
 */
static uint32_t entries_of(const struct map *map)
{
	uint64_t entries = (uint64_t)map->max_entries * REPEATS;

	if (map->max_entries == 0 || entries > UINT32_MAX)
		return UINT32_MAX;
	return (uint32_t)entries;
}

static int64_t next_keys(struct map *map, struct map_walk *walk,
			 const struct map_walk_buffer *buffer)
{
	struct keys k = {
		.map = map,
		.walk = walk,
		.buffer = buffer,
		.left = entries_of(map),
		.next = walk->cursor + LEFT_SIZE,
	};
	uint32_t left = UINT32_MAX;
	int error;

	if (walk->position == MAP_WALK_AT)
		memcpy(&left, walk->cursor, LEFT_SIZE);
	if (left < k.left) /* cursors are not trusted */
		k.left = left;
	error = k.left > 0 ? read_or_remove(&k) : 0;
	memcpy(walk->cursor, &k.left, LEFT_SIZE);
	if (k.left == 0)
		walk->position = MAP_WALK_DONE;
	return error < 0 && k.count == 0 ? error : (int64_t)k.count;
}

int64_t map_walk_next(struct map *map, struct map_walk *walk,
		      const struct map_walk_buffer *buffer)
{
	if (is_stopped(walk))
		return -ECANCELED;
	return by_buckets(map, walk) ? next_buckets(map, walk, buffer)
				     : next_keys(map, walk, buffer);
}
