/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walking a map, an entry a call:
 *
 *	iterator(Map)  -> Iterator
 *	next(Iterator) -> {Key, Value, Iterator} | none
 *	Iterator = {ebpf_iterator, Map, Cursor, Keys, Steps}
 *
 * All that a walk knows is in its iterator, so that any node can go on with
 * it; nothing of what stands in one is believed. There are two kinds:
 *
 * - of hash types, by buckets. Cursor is the kernel's to the next bucket, Keys
 *   are those of the last ones that are still to come. Buckets do not move:
 *   what is there all the time comes once.
 * - of the others, by next_key. Cursor is the last key, Keys is []. Where that
 *   has gone the kernel begins anew, so Steps, which begins as the map's size,
 *   ends the walk.
 *
 * Cursor is start before the first call and done when there is no more.
 */
#include <errno.h>
#include <string.h>

#include "call.h"

#define FIRST_BATCH 16 /* entries asked for, more where a bucket is larger */
#define FIRST_BATCH_OCTETS 65536

enum position {
	POSITION_START,
	POSITION_AT,
	POSITION_DONE
};

struct walk {
	struct term handle;
	enum position position;
	const char *cursor; /* POSITION_AT: of cursor_size octets */
	size_t cursor_size;
	const char *keys; /* those still to come, key_size octets each */
	uint32_t count;
	uint32_t steps;
};

static bool by_buckets(const struct map *map)
{
	return map->traits & MAP_BUCKETS;
}

static size_t cursor_size(const struct map *map)
{
	return by_buckets(map) ? MAP_BUCKET_CURSOR_SIZE : map->key_size;
}

/* --- The term ----------------------------------------------------------- */

static void write_cursor(struct term_writer *w, const struct walk *walk)
{
	if (walk->position == POSITION_AT)
		term_write_binary(w, walk->cursor, walk->cursor_size);
	else
		term_write_atom(w, walk->position == POSITION_START ? "start"
								    : "done");
}

static void write_walk(struct call *call, const struct walk *walk)
{
	uint32_t key_size = call->map->key_size;

	term_write_tuple(call->out, 5);
	term_write_atom(call->out, "ebpf_iterator");
	term_write_term(call->out, walk->handle);
	write_cursor(call->out, walk);
	if (walk->count > 0)
		term_write_list(call->out, (int)walk->count);
	for (uint32_t i = 0; i < walk->count; i++)
		term_write_binary(call->out, walk->keys + (size_t)i * key_size,
				  key_size);
	term_write_nil(call->out);
	term_write_uint(call->out, walk->steps);
}

static bool read_cursor(const struct map *map, struct term t, struct walk *walk)
{
	if (term_is_atom(t, "start"))
		walk->position = POSITION_START;
	else if (term_is_atom(t, "done"))
		walk->position = POSITION_DONE;
	else if (term_read_binary(t, &walk->cursor, &walk->cursor_size) &&
		 walk->cursor_size == cursor_size(map))
		walk->position = POSITION_AT;
	else
		return false;
	return true;
}

static bool copy_keys(struct term_items *items, char *keys, size_t key_size)
{
	struct term item;
	const char *key;
	size_t size;

	while (term_next(items, &item)) {
		if (!term_read_binary(item, &key, &size) || size != key_size)
			return false;
		memcpy(keys, key, key_size);
		keys += key_size;
	}
	return term_end(items);
}

/* The list was checked to be in the packet, so its count is no lie. */
static bool read_keys(struct call *call, struct term t, struct walk *walk)
{
	struct term_items items;
	size_t key_size = call->map->key_size;
	char *keys;

	if (!term_list(t, &items) || (items.left > 0 && !by_buckets(call->map)))
		return call_raise(call, RAISED_BADARG);
	keys = call_room(call, &call->context->batch, items.left * key_size);
	if (!keys)
		return false;
	walk->keys = keys;
	walk->count = items.left;
	return copy_keys(&items, keys, key_size) ||
	       call_raise(call, RAISED_BADARG);
}

static bool read_walk(struct call *call, struct walk *walk)
{
	struct term parts[5];

	if (!term_tuple_of(call->args[0], parts, 5) ||
	    !term_is_atom(parts[0], "ebpf_iterator"))
		return call_raise(call, RAISED_BADARG);
	walk->handle = parts[1];
	if (!call_read_map(call, parts[1]))
		return false;
	if (!call->map->key_size)
		return call_raise_errno(call, -EOPNOTSUPP);
	if (!read_cursor(call->map, parts[2], walk) ||
	    !term_read_uint32(parts[4], &walk->steps))
		return call_raise(call, RAISED_BADARG);
	return read_keys(call, parts[3], walk);
}

/* --- Going on ----------------------------------------------------------- */

/* Room for count entries in the batch buffer: cursor, values, keys. */
static char *batch_room(struct call *call, uint32_t count)
{
	size_t entry = map_entry_size(call->map) + call->map->key_size;

	return call_room(call, &call->context->batch,
			 MAP_BUCKET_CURSOR_SIZE + count * entry);
}

static uint32_t first_batch(const struct map *map)
{
	size_t fit = FIRST_BATCH_OCTETS / (map_entry_size(map) + map->key_size);

	return fit < 2 ? 2 : fit > FIRST_BATCH ? FIRST_BATCH : (uint32_t)fit;
}

/* The keys of the next buckets that have any. */
static bool fetch_buckets(struct call *call, struct walk *walk)
{
	struct map *map = call->map;
	uint32_t room = first_batch(map) / 2;
	char cursor[MAP_BUCKET_CURSOR_SIZE];
	struct map_buckets buckets = { .cursor = NULL };
	char *octets;
	int error;

	if (walk->position == POSITION_AT)
		buckets.cursor = memcpy(cursor, walk->cursor, sizeof(cursor));
	do {
		room *= 2;
		octets = batch_room(call, room);
		if (!octets)
			return false;
		buckets.next_cursor = octets;
		buckets.values = octets + MAP_BUCKET_CURSOR_SIZE;
		buckets.keys = octets + MAP_BUCKET_CURSOR_SIZE +
			       room * map_entry_size(map);
		buckets.count = room;
		error = map_next_buckets(map, &buckets);
	} while (error == -ENOSPC);
	if (error < 0 && error != -ENOENT)
		return call_raise_errno(call, error);
	walk->position = error == 0 ? POSITION_AT : POSITION_DONE;
	walk->cursor = octets;
	walk->cursor_size = MAP_BUCKET_CURSOR_SIZE;
	walk->keys = buckets.keys;
	walk->count = buckets.count;
	return true;
}

/* One key on; it becomes the cursor. */
static bool fetch_key(struct call *call, struct walk *walk)
{
	struct map *map = call->map;
	char *next =
		call_room(call, &call->context->key, (size_t)2 * map->key_size);
	const char *last = NULL;
	int error = -ENOENT;

	if (!next)
		return false;
	if (walk->position == POSITION_AT) {
		last = memmove(next + map->key_size, walk->cursor,
			       map->key_size);
	}
	if (walk->steps > 0)
		error = map_next_key(map, last, next);
	if (error < 0 && error != -ENOENT)
		return call_raise_errno(call, error);
	if (error < 0) {
		walk->position = POSITION_DONE;
		return true;
	}
	walk->steps--;
	walk->position = POSITION_AT;
	walk->cursor = walk->keys = next;
	walk->cursor_size = map->key_size;
	walk->count = 1;
	return true;
}

/* The next key; walk->count is 0 where there is none. */
static bool fetch(struct call *call, struct walk *walk)
{
	while (walk->count == 0 && walk->position != POSITION_DONE) {
		if (by_buckets(call->map) ? !fetch_buckets(call, walk)
					  : !fetch_key(call, walk))
			return false;
	}
	return true;
}

static bool write_entry(struct call *call, struct walk *walk, const char *key,
			const char *value)
{
	term_write_tuple(call->out, 3);
	term_write_binary(call->out, key, call->map->key_size);
	call_write_value(call, value);
	write_walk(call, walk);
	return true;
}

static bool next_entry(struct call *call, struct walk *walk)
{
	char *value = call_value_room(call);
	const char *key;
	int error;

	if (!value)
		return false;
	for (;;) {
		if (!fetch(call, walk))
			return false;
		if (walk->count == 0) {
			term_write_atom(call->out, "none");
			return true;
		}
		key = walk->keys;
		walk->keys += call->map->key_size;
		walk->count--;
		error = map_get(call->map, key, value);
		if (error == 0)
			return write_entry(call, walk, key, value);
		if (error != -ENOENT) /* that one has gone meanwhile */
			return call_raise_errno(call, error);
	}
}

bool iterator_functions_iterator(struct call *call)
{
	struct walk walk = { .handle = call->args[0] };

	if (!call_read_map(call, call->args[0]))
		return false;
	if (!call->map->key_size)
		return call_raise_errno(call, -EOPNOTSUPP);
	walk.steps = call->map->max_entries;
	write_walk(call, &walk);
	return true;
}

bool iterator_functions_next(struct call *call)
{
	struct walk walk = { .position = POSITION_START };

	return read_walk(call, &walk) && next_entry(call, &walk);
}
