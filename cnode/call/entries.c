/* SPDX-License-Identifier: Apache-2.0 */
/* Walks a map for a call: in bounded memory, with a cursor that is a term. */
#include "call/entries.h"

#include <errno.h>
#include <string.h>

#include "base/budget.h"
#include "call/values.h"

#define STEP_BYTES ((size_t)1024 * 1024)
#define PAIR_MARGIN 8     /* a tuple, and the list of a per-CPU value */
#define ANSWER_MARGIN 256 /* the answer around a list */
#define END_MARGIN 16     /* the part after it, without a cursor */

bool entries_check(struct call *call)
{
	return call->map->key_size > 0 || raise_errno(call, -EOPNOTSUPP);
}

bool entries_check_removal(struct call *call)
{
	if (call->map->traits & MAP_NO_REMOVAL)
		return raise_errno(call, -EINVAL);
	return entries_check(call);
}

bool entries_start(struct call *call, struct entries *entries)
{
	struct map_walk *walk = &entries->walk;

	if (call->map->traits & MAP_VALUE_IS_MAP &&
	    walk->mode == MAP_WALK_TAKE) {
		walk->keep = values_keep_map;
		walk->context = call;
		entries->with_maps = true;
	}
	entries->with_maps &= (call->map->traits & MAP_VALUE_IS_MAP) != 0;
	walk->stopped = call->context->stopped;
	walk->cursor = call_buffer(call, &call->context->cursor,
				   map_walk_cursor_size(call->map, walk));
	return walk->cursor;
}

/* A map whose keys are descriptors never returns a cursor. */
bool entries_start_at(struct call *call, struct entries *entries,
		      struct term cursor)
{
	struct map_walk *walk = &entries->walk;
	const char *bytes;
	size_t size;

	if (!entries_start(call, entries))
		return false;
	if (term_is_atom(cursor, "done")) {
		walk->position = MAP_WALK_DONE;
	} else if (!(call->map->traits & MAP_KEY_IS_FD) &&
		   term_read_binary(cursor, &bytes, &size) &&
		   size == map_walk_cursor_size(call->map, walk)) {
		walk->position = MAP_WALK_AT;
		memcpy(walk->cursor, bytes, size);
	} else if (!term_is_atom(cursor, "start")) {
		return raise_reason(call, RAISED_BADARG);
	}
	return true;
}

static size_t entry_size(const struct map *map)
{
	return map_entry_size(map) + map->key_size;
}

static bool reserve_batch(struct call *call, struct map_walk_buffer *buffer,
			  uint32_t entries)
{
	char *bytes = call_batch_buffer(call, entries * entry_size(call->map));

	buffer->values = bytes;
	buffer->keys = bytes + entries * map_entry_size(call->map);
	buffer->entries = entries;
	return bytes;
}

/* Moves an entry down, over one left out. */
static void move(const struct map *map, const struct map_walk_buffer *buffer,
		 uint32_t from, uint32_t to)
{
	size_t key = map->key_size, value = map_entry_size(map);

	memmove(buffer->keys + to * key, buffer->keys + from * key, key);
	memmove(buffer->values + to * value, buffer->values + from * value,
		value);
}

/*
 * Opens handles for the maps that were read, and leaves out maps that are gone.
 * A map that was taken out already has one, unless another node has closed it
 * since; the other maps must still be reported then.
 */
static bool hold_maps(struct call *call, struct entries *entries)
{
	uint32_t n = entries->count, held = 0;
	int error;

	for (uint32_t i = 0; i < n; i++) {
		if (!call_goes_on(call))
			return false;
		error = values_hold_map(call, entries_value(call, entries, i));
		if (error < 0 && error != -ENOENT &&
		    entries->walk.mode != MAP_WALK_TAKE)
			return raise_errno(call, error);
		if (error == 0)
			move(call->map, &entries->buffer, i, held++);
	}
	entries->count = held;
	return true;
}

/* The most bytes that an entry takes in an answer. */
static size_t pair_size(const struct map *map)
{
	return values_key_size(map) + values_size(map) + PAIR_MARGIN;
}

static size_t cursor_size(const struct map *map)
{
	return MAP_BUCKET_CURSOR_SIZE + 4 + map->key_size;
}

/* Before entries are taken out: they would be lost if the answer failed. */
static bool reserve_pairs(struct call *call, uint32_t entries)
{
	size_t pos = call->out->pos;
	bool no_memory;

	if (term_write_reserve(call->out, entries * pair_size(call->map) +
						  cursor_size(call->map) +
						  END_MARGIN))
		return true;
	no_memory = call->out->no_memory;
	term_writer_rewind(call->out, pos);
	return no_memory ? raise_no_memory(call)
			 : raise_reason(call, RAISED_TOO_BIG);
}

/* The most entries of one step, by the answer and by memory. */
static uint32_t most_of(const struct call *call, const struct entries *entries)
{
	size_t most = CALL_MAX_BATCH / entry_size(call->map);

	if (entries->most > 0 && entries->most < most)
		return entries->most;
	return most < UINT32_MAX ? (uint32_t)most : UINT32_MAX;
}

/* One step; the batch grows until a large bucket fits. */
static bool step(struct call *call, struct entries *entries, uint32_t wanted)
{
	uint32_t most = most_of(call, entries);
	int64_t n;

	for (;;) {
		if (!reserve_batch(call, &entries->buffer, wanted))
			return false;
		if (entries->walk.mode == MAP_WALK_TAKE &&
		    !reserve_pairs(call, wanted))
			return false;
		n = map_walk_next(call->map, &entries->walk, &entries->buffer);
		if (n != -ENOBUFS)
			break;
		if (wanted >= most)
			return raise_reason(call, RAISED_TOO_BIG);
		wanted = wanted > most / 2 ? most : wanted * 2;
	}
	if (n < 0)
		return raise_errno(call, (int)n);
	entries->count = (uint32_t)n;
	return !entries->with_maps || hold_maps(call, entries);
}

static uint32_t least(size_t a, uint32_t b)
{
	return a < b ? (uint32_t)a : b;
}

/*
 * As many as the memory budget allows, counting the answer while it grows. If
 * the budget is used up, so few that the step needs none of it.
 */
static uint32_t affordable(struct call *call, uint32_t entries)
{
	struct account *account = call->context->account;
	size_t pair = pair_size(call->map);
	size_t size = entries * (entry_size(call->map) + 3 * pair);

	if (!budget_reserve(account, size))
		return least(BUDGET_FREE / 4 / pair, entries);
	budget_release(account, size);
	return entries;
}

bool entries_next(struct call *call, struct entries *entries, uint32_t wanted)
{
	wanted = least(STEP_BYTES / entry_size(call->map), wanted);
	wanted = least(MAP_WALK_MOST, wanted);
	wanted = affordable(call, wanted);
	if (entries->most > 0)
		wanted = least(entries->most, wanted);
	if (wanted == 0)
		wanted = 1;
	entries->count = 0;
	while (entries->count == 0 && entries->walk.position != MAP_WALK_DONE) {
		if (!call_goes_on(call) || !step(call, entries, wanted))
			return false;
	}
	return true;
}

bool entries_fit(struct call *call, uint32_t *entries)
{
	const struct map *map = call->map;
	size_t used = call->out->pos + cursor_size(map) + ANSWER_MARGIN;
	size_t fit = used < call->out->limit
			     ? (call->out->limit - used) / pair_size(map)
			     : 0;

	*entries = fit < UINT32_MAX ? (uint32_t)fit : UINT32_MAX;
	return fit > 0 || raise_reason(call, RAISED_TOO_BIG);
}

const char *entries_key(struct call *call, const struct entries *entries,
			uint32_t n)
{
	return entries->buffer.keys + (size_t)n * call->map->key_size;
}

const char *entries_value(struct call *call, const struct entries *entries,
			  uint32_t n)
{
	return entries->buffer.values + n * map_entry_size(call->map);
}

void entries_write_pair(struct call *call, const struct entries *entries,
			uint32_t n)
{
	term_write_tuple(call->out, 2);
	values_write_key(call, entries_key(call, entries, n));
	values_write(call, entries_value(call, entries, n));
}

void entries_write_cursor(struct call *call, const struct entries *entries)
{
	const struct map_walk *walk = &entries->walk;

	if (walk->position == MAP_WALK_AT)
		term_write_binary(call->out, walk->cursor,
				  map_walk_cursor_size(call->map, walk));
	else
		term_write_atom(call->out, walk->position == MAP_WALK_START
						   ? "start"
						   : "done");
}

/* --- Maps without keys -------------------------------------------------- */

/* Takes one value out, as {<<>>, Value}. *any is false if there is none. */
static bool pop(struct call *call, char *value, bool write, bool *any)
{
	int error;

	*any = false;
	if (write && !reserve_pairs(call, 1))
		return false;
	error = map_take(call->map, NULL, value);
	*any = error == 0;
	if (error < 0)
		return error == -ENOENT || raise_errno(call, error);
	if (!write)
		return true;
	term_write_tuple(call->out, 2);
	term_write_binary(call->out, "", 0);
	values_write(call, value);
	return true;
}

bool entries_pop(struct call *call, uint32_t *most, bool write)
{
	size_t list = call->out->pos;
	char *value = values_buffer(call);
	bool any = true;
	uint32_t n = 0;

	if (!value)
		return false;
	if (write)
		list = term_write_list_open(call->out);
	while (n < *most && any) {
		if (!call_goes_on(call))
			return false;
		if (!pop(call, value, write, &any)) {
			if (n == 0)
				return false;
			call->raised.reason = RAISED_NOTHING;
			break;
		}
		n += any;
	}
	if (write)
		term_write_list_close(call->out, list, n);
	*most = n;
	return true;
}
