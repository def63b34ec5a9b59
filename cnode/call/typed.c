/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys and values as terms of their types:
 *
 *	key()   = a term of the key's layout
 *	value() = a term of the value's layout
 *	        | a list of them, one for each possible CPU, of a per-CPU map:
 *	          a list is always that, and any other term put for all CPUs
 *	        | one folded of all CPUs, to read only
 *
 * Does not know how the types were found: that is views.c.
 */
#include "call/typed.h"

#include <errno.h>
#include <string.h>

#define LIST_SIZE 6 /* its header and its end */

/* --- Paths ---------------------------------------------------------------- */

/* A name that no member has may be as long as the request. */
static void shorten(struct encode_path *path)
{
	while (path->count > 0 && path->places[path->count - 1].name &&
	       path->places[path->count - 1].name_size > PLAN_MAX_NAMES)
		path->count--;
}

/* The exception outlives the view, and so does the memory of its path. */
bool typed_raise_path(struct call *call, struct encode_path *path)
{
	struct term_writer w;
	char *copy = NULL;
	size_t size;

	term_writer_init(&w);
	w.account = call->context->account;
	shorten(path);
	encode_write_path(path, &w);
	size = w.pos;
	if (w.failed)
		raise_no_memory(call);
	else
		copy = call_buffer(call, &call->context->path, size);
	if (copy)
		memcpy(copy, w.buf, size);
	term_writer_fini(&w);
	return copy && raise_term(call, RAISED_BADMEMBER,
				  (struct term){ .at = copy, .size = size });
}

static bool read_as(struct call *call, const struct plan *plan, struct term t,
		    char *bytes)
{
	struct encode_path path;

	return encode(plan, call->map->types->form, t, bytes, &path) ||
	       typed_raise_path(call, &path);
}

/* --- Keys ----------------------------------------------------------------- */

bool typed_read_key(struct call *call, struct term t, char *buffer)
{
	return read_as(call, call->map->types->key, t, buffer);
}

void typed_write_key(struct call *call, const char *bytes)
{
	decode(call->map->types->key, call->map->types->form, bytes, call->out);
}

/* --- Values --------------------------------------------------------------- */

/* An index of the list goes before those within its element. */
static void put_index_first(struct encode_path *path, unsigned cpu)
{
	if (path->count == PLAN_MAX_DEPTH)
		path->count--;
	memmove(path->places + 1, path->places,
		path->count * sizeof(path->places[0]));
	path->places[0] = (struct encode_place){ .index = cpu };
	path->count++;
}

static bool read_each_cpu(struct call *call, struct term_items *items,
			  char *slots)
{
	const struct map *map = call->map;
	struct encode_path path = { .count = 0 };
	struct term item;

	if (items->left != map->cpus)
		return typed_raise_path(call, &path);
	for (unsigned cpu = 0; cpu < map->cpus && term_next(items, &item);
	     cpu++) {
		if (encode(map->types->value, map->types->form, item,
			   slots + cpu * map->value_stride, &path))
			continue;
		put_index_first(&path, cpu);
		return typed_raise_path(call, &path);
	}
	path.count = 0;
	return term_end(items) || typed_raise_path(call, &path);
}

static bool read_for_all_cpus(struct call *call, struct term t, char *slots)
{
	const struct map *map = call->map;

	if (!read_as(call, map->types->value, t, slots))
		return false;
	for (unsigned cpu = 1; cpu < map->cpus; cpu++)
		memcpy(slots + cpu * map->value_stride, slots, map->value_size);
	return true;
}

bool typed_read(struct call *call, struct term t, char *buffer)
{
	const struct map *map = call->map;
	struct term_items items;

	if (!(map->traits & MAP_PER_CPU))
		return read_as(call, map->types->value, t, buffer);
	/* padded as the kernel pads it */
	memset(buffer, 0, map_entry_size(map));
	return term_list(t, &items) ? read_each_cpu(call, &items, buffer)
				    : read_for_all_cpus(call, t, buffer);
}

static void write_one(struct call *call, const char *bytes)
{
	const struct types *types = call->map->types;

	if (types->choice.members)
		decode_members(types->value, types->form, &types->choice, bytes,
			       call->out);
	else
		decode(types->value, types->form, bytes, call->out);
}

static void write_folded(struct call *call, const char *bytes)
{
	const struct map *map = call->map;
	const struct fold fold = { .op = map->types->fold,
				   .cpus = map->cpus,
				   .stride = map->value_stride };

	decode_fold(map->types->value, map->types->form, &fold, bytes,
		    call->out);
}

void typed_write(struct call *call, const char *bytes)
{
	const struct map *map = call->map;

	if (!(map->traits & MAP_PER_CPU)) {
		write_one(call, bytes);
		return;
	}
	if (map->types->fold != FOLD_NONE) {
		write_folded(call, bytes);
		return;
	}
	term_write_list(call->out, (int)map->cpus);
	for (unsigned cpu = 0; cpu < map->cpus; cpu++)
		write_one(call, bytes + cpu * map->value_stride);
	term_write_nil(call->out);
}

size_t typed_size(const struct map *map)
{
	size_t most = map->types->most_of_value;

	if (map->types->fold != FOLD_NONE || !(map->traits & MAP_PER_CPU))
		return most;
	most = most * map->cpus + LIST_SIZE;
	return most < INT32_MAX ? most : INT32_MAX;
}
