/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks a map, one entry or one chunk a call:
 *
 *	iterator(Map)  -> Iterator
 *	next(Iterator) -> {Key, Value, Iterator} | none
 *	next_chunk(start | Cursor, Map, MaxEntries)
 *	               -> {[{Key, Value}], Cursor | done}
 *	drain_chunk(start | Cursor, Map, MaxEntries)
 *	               -> the same, and removes the entries. Of a map without
 *	               keys: {[{<<>>, Value}], start | done}
 *	Iterator = {ebpf_iterator, Map, start | Cursor | done, Pending,
 *	            Prefetch}
 *	Pending  = [Key | {Key, Value}]
 *
 * The iterator or cursor holds all the state of a walk, so any node can
 * continue it; none of it is trusted. Pending comes before the cursor: next
 * looks a key up, and returns a pair as it is. Prefetch belongs to the facade,
 * which fills Pending with pairs. Of a view, its keys are bytes: a key that is
 * a tuple would look like a pair.
 */
#include <errno.h>

#include "call/entries.h"
#include "call/typed.h"
#include "call/values.h"
#include "functions/handlers.h"

#define ITERATOR_ENTRIES 16 /* that next/1 reads, to keep their keys */

/* --- iterator/1, next/1 ------------------------------------------------- */

struct iterator {
	struct term handle;
	struct entries entries;
	struct term_items pending;
	struct term prefetch;
};

static bool read_iterator(struct call *call, struct iterator *iterator)
{
	struct term parts[5];

	if (!term_tuple_of(call->args[0], parts, 5) ||
	    !term_is_atom(parts[0], "ebpf_iterator"))
		return raise_reason(call, RAISED_BADARG);
	iterator->handle = parts[1];
	iterator->prefetch = parts[4];
	if (!call_read_map(call, parts[1]) || !entries_check(call) ||
	    !entries_start_at(call, &iterator->entries, parts[2]))
		return false;
	return term_list(parts[3], &iterator->pending) ||
	       raise_reason(call, RAISED_BADARG);
}

/* An iterator without Pending and Prefetch, which follow. */
static void write_iterator_head(struct call *call,
				const struct iterator *iterator)
{
	term_write_tuple(call->out, 5);
	term_write_atom(call->out, "ebpf_iterator");
	term_write_term(call->out, iterator->handle);
	entries_write_cursor(call, &iterator->entries);
}

/* Raises badarg for an improper list. */
static bool write_pending(struct call *call, struct term_items pending)
{
	struct term item;

	if (pending.left > 0)
		term_write_list(call->out, (int)pending.left);
	while (term_next(&pending, &item))
		term_write_term(call->out, item);
	term_write_nil(call->out);
	return term_end(&pending) || raise_reason(call, RAISED_BADARG);
}

/*
 * Writes the head, Key and Value of {Key, Value, Iterator}. *found is false if
 * the key is gone.
 */
static bool write_pending_entry(struct call *call, struct term item,
				bool *found)
{
	struct term pair[2];
	const char *key;
	char *value;
	int error;

	*found = true;
	if (term_tuple_of(item, pair, 2)) {
		term_write_tuple(call->out, 3);
		term_write_term(call->out, pair[0]);
		term_write_term(call->out, pair[1]);
		return true;
	}
	if (!values_read_key_bytes(call, item, &key))
		return false;
	value = values_buffer(call);
	if (!value)
		return false;
	error = values_get(call, key, value);
	*found = error == 0;
	if (error < 0)
		return error == -ENOENT || raise_errno(call, error);
	term_write_tuple(call->out, 3);
	values_write_key(call, key);
	values_write(call, value);
	return true;
}

/* Reads entries; returns the first, with the keys of the rest pending. */
static bool next_read(struct call *call, struct iterator *iterator)
{
	struct entries *entries = &iterator->entries;
	uint32_t key_size = call->map->key_size;

	entries->with_maps = call->map->traits & MAP_VALUE_IS_MAP;
	if (!entries_next(call, entries, ITERATOR_ENTRIES))
		return false;
	if (entries->count == 0) {
		term_write_atom(call->out, "none");
		return true;
	}
	term_write_tuple(call->out, 3);
	values_write_key(call, entries_key(call, entries, 0));
	values_write(call, entries_value(call, entries, 0));
	write_iterator_head(call, iterator);
	if (entries->count > 1)
		term_write_list(call->out, (int)entries->count - 1);
	for (uint32_t i = 1; i < entries->count; i++)
		term_write_binary(call->out, entries_key(call, entries, i),
				  key_size);
	term_write_nil(call->out);
	term_write_term(call->out, iterator->prefetch);
	return true;
}

bool walk_functions_next(struct call *call)
{
	struct iterator iterator = { .handle.size = 0 };
	struct term item;
	bool found;

	if (!read_iterator(call, &iterator))
		return false;
	while (term_next(&iterator.pending, &item)) {
		if (!call_goes_on(call) ||
		    !write_pending_entry(call, item, &found))
			return false;
		if (!found)
			continue;
		write_iterator_head(call, &iterator);
		if (!write_pending(call, iterator.pending))
			return false;
		term_write_term(call->out, iterator.prefetch);
		return true;
	}
	return term_end(&iterator.pending) ? next_read(call, &iterator)
					   : raise_reason(call, RAISED_BADARG);
}

bool walk_functions_iterator(struct call *call)
{
	struct iterator iterator = { .handle = call->args[0] };

	if (!call_read_map(call, call->args[0]) || !entries_check(call))
		return false;
	write_iterator_head(call, &iterator);
	term_write_nil(call->out);
	term_write_uint(call->out, 1);
	return true;
}

/* --- Chunks ------------------------------------------------------------- */

/* Shortens the chunk to fit into an answer. */
static bool write_chunk(struct call *call, struct entries *entries)
{
	uint32_t wanted;
	size_t list;

	if (!entries_start_at(call, entries, call->args[0]))
		return false;
	if (!term_read_uint32(call->args[2], &wanted) || wanted == 0)
		return raise_reason(call, RAISED_BADARG);
	if (!entries_fit(call, &entries->most) ||
	    !entries_next(call, entries, wanted))
		return false;
	term_write_tuple(call->out, 2);
	list = term_write_list_open(call->out);
	for (uint32_t i = 0; i < entries->count; i++) {
		if (!call_goes_on(call))
			return false;
		entries_write_pair(call, entries, i);
	}
	term_write_list_close(call->out, list, entries->count);
	entries_write_cursor(call, entries);
	return true;
}

bool walk_functions_next_chunk(struct call *call)
{
	struct entries entries = { .walk.mode = MAP_WALK_READ,
				   .with_maps = true };

	return call_read_map(call, call->args[1]) && entries_check(call) &&
	       write_chunk(call, &entries);
}

/* A queue or stack needs no cursor: the next value is simply the next. */
static bool pop_chunk(struct call *call)
{
	uint32_t wanted, most;

	if (!(term_is_atom(call->args[0], "start") ||
	      term_is_atom(call->args[0], "done")) ||
	    !term_read_uint32(call->args[2], &wanted) || wanted == 0)
		return raise_reason(call, RAISED_BADARG);
	if (call->map->traits & MAP_LOOKUP_TAKES_VALUE)
		return raise_errno(call, -EOPNOTSUPP);
	if (!entries_fit(call, &most))
		return false;
	if (most > wanted)
		most = wanted;
	wanted = most;
	if (term_is_atom(call->args[0], "done"))
		most = 0;
	term_write_tuple(call->out, 2);
	if (!entries_pop(call, &most, true))
		return false;
	term_write_atom(call->out, most < wanted ? "done" : "start");
	return true;
}

bool walk_functions_drain_chunk(struct call *call)
{
	struct entries entries = { .walk.mode = MAP_WALK_TAKE };

	if (!call_read_map(call, call->args[1]) || !typed_check_writable(call))
		return false;
	if (call->map->key_size == 0)
		return pop_chunk(call);
	return entries_check_removal(call) && write_chunk(call, &entries);
}
