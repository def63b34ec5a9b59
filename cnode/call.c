/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the handlers share: keys, values and handles as terms and as octets.
 *
 *	key()      = binary() of the map's key size | integer()
 *	value()    = binary() of the map's value size | integer()
 *	           | [value()], one for each possible CPU, of a per-CPU map
 *	ebpf_map() = {ebpf_map, reference(), Type, KeySize, ValueSize,
 *	              MaxEntries}
 *
 * Of a handle that comes in only the reference counts.
 */
#include "call.h"

#include "posix.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MARGIN 16 /* what stands around a value and a handle */
#define BINARY_HEADER_SIZE 5

bool call_raise(struct call *call, enum raised_reason reason)
{
	call->raised = (struct raised){ .reason = reason };
	return false;
}

bool call_raise_term(struct call *call, enum raised_reason reason,
		     struct term term)
{
	call->raised = (struct raised){ .reason = reason, .term = term };
	return false;
}

bool call_raise_errno(struct call *call, int error)
{
	call->raised =
		(struct raised){ .reason = RAISED_ERRNO, .error = -error };
	return false;
}

char *call_room(struct call *call, struct buffer *buffer, size_t size)
{
	char *octets;

	if (size > call->context->max_message) {
		call_raise(call, RAISED_TOO_BIG);
		return NULL;
	}
	if (size <= buffer->capacity && buffer->octets)
		return buffer->octets;
	octets = realloc(buffer->octets, size ? size : 1);
	if (!octets) {
		call_raise_errno(call, -ENOMEM);
		return NULL;
	}
	buffer->octets = octets;
	buffer->capacity = size;
	return octets;
}

/* --- Handles ------------------------------------------------------------ */

static bool open_handle(struct term t, struct term_items *items)
{
	struct term tag;

	return term_tuple(t, items) && term_next(items, &tag) &&
	       term_is_atom(tag, "ebpf_map");
}

bool call_is_handle(struct term t)
{
	struct term_items items;

	return open_handle(t, &items);
}

bool call_read_map(struct call *call, struct term t)
{
	struct term_items items;
	struct term element;
	erlang_ref ref;

	if (open_handle(t, &items) && term_next(&items, &element) &&
	    term_read_ref(element, &ref))
		call->map = handles_get(call->context->handles, &ref);
	if (!call->map)
		return call_raise_term(call, RAISED_BADMAP, t);
	return true;
}

void call_write_handle(struct call *call, const struct map *map,
		       const erlang_ref *ref)
{
	const char *type = map_type_name(map->type);

	term_write_tuple(call->out, 6);
	term_write_atom(call->out, "ebpf_map");
	term_write_ref(call->out, ref);
	if (type)
		term_write_atom(call->out, type);
	else
		term_write_uint(call->out, map->type);
	term_write_uint(call->out, map->key_size);
	term_write_uint(call->out, map->value_size);
	term_write_uint(call->out, map->max_entries);
}

/* --- Keys and values ---------------------------------------------------- */

/* A binary of just that size, in place; or an integer, laid out in room. */
static bool read_octets(struct term t, size_t size, char *room,
			const char **octets)
{
	size_t binary_size;

	if (term_read_binary(t, octets, &binary_size))
		return binary_size == size;
	*octets = room;
	return term_read_octets(t, room, size);
}

bool call_read_key(struct call *call, struct term t, const char **key)
{
	struct map *map = call->map;
	char *room;

	if (map->traits & MAP_KEY_IS_FD)
		return call_raise(call, RAISED_BADARG);
	room = call_room(call, &call->context->key, map->key_size);
	if (!room)
		return false;
	return read_octets(t, map->key_size, room, key) ||
	       call_raise(call, RAISED_BADARG);
}

/* One value into its place among those of all CPUs, padded as the kernel does
 */
static bool place_value(const struct map *map, struct term t, char *place)
{
	const char *octets;

	if (!read_octets(t, map->value_size, place, &octets))
		return false;
	if (octets != place)
		memcpy(place, octets, map->value_size);
	memset(place + map->value_size, 0, map->value_stride - map->value_size);
	return true;
}

static bool place_each(const struct map *map, struct term_items *items,
		       char *places)
{
	struct term item;

	if (items->left != map->cpus)
		return false;
	for (unsigned cpu = 0; cpu < map->cpus; cpu++)
		if (!term_next(items, &item) ||
		    !place_value(map, item, places + cpu * map->value_stride))
			return false;
	return term_end(items);
}

static bool place_copies(const struct map *map, struct term t, char *places)
{
	if (!place_value(map, t, places))
		return false;
	for (unsigned cpu = 1; cpu < map->cpus; cpu++)
		memcpy(places + cpu * map->value_stride, places,
		       map->value_stride);
	return true;
}

static bool read_per_cpu(struct map *map, struct term t, char *places)
{
	struct term_items items;

	return term_list(t, &items) ? place_each(map, &items, places)
				    : place_copies(map, t, places);
}

/* A descriptor in a value would be one of this process: only none is good. */
static bool names_descriptor(const struct map *map, const char *value)
{
	static const char none[4];

	if (map->traits & MAP_VALUE_IS_FD)
		return true;
	return map->traits & MAP_VALUE_HAS_FD && map->value_size >= 8 &&
	       memcmp(value + 4, none, sizeof(none)) != 0;
}

bool call_read_value(struct call *call, struct term t, const char **value)
{
	struct map *map = call->map;
	char *room =
		call_room(call, &call->context->value, map_entry_size(map));
	bool good;

	if (!room)
		return false;
	*value = room;
	if (map->traits & MAP_PER_CPU)
		good = read_per_cpu(map, t, room);
	else
		good = read_octets(t, map->value_size, room, value);
	return (good && !names_descriptor(map, *value)) ||
	       call_raise(call, RAISED_BADARG);
}

bool call_check_answer(struct call *call, struct term handle)
{
	size_t entry = map_entry_size(call->map) +
		       (size_t)call->map->cpus * BINARY_HEADER_SIZE;

	return term_write_fits(call->out,
			       entry + handle.size + ANSWER_MARGIN) ||
	       call_raise(call, RAISED_TOO_BIG);
}

char *call_value_room(struct call *call)
{
	return call_room(call, &call->context->value,
			 map_entry_size(call->map));
}

void call_write_value(struct call *call, const char *octets)
{
	const struct map *map = call->map;

	if (!(map->traits & MAP_PER_CPU)) {
		term_write_binary(call->out, octets, map->value_size);
		return;
	}
	term_write_list(call->out, (int)map->cpus);
	for (unsigned cpu = 0; cpu < map->cpus; cpu++)
		term_write_binary(call->out, octets + cpu * map->value_stride,
				  map->value_size);
	term_write_nil(call->out);
}

bool call_write_error(struct call *call, int error)
{
	char name[POSIX_NAME_SIZE];

	term_write_tuple(call->out, 2);
	term_write_atom(call->out, "error");
	term_write_atom(call->out, posix_name(-error, name));
	return true;
}
