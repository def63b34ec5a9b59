/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Converts keys and values between terms and the bytes of the kernel:
 *
 *	key()      = binary() of the map's key size | integer()
 *	           | {inet:ip_address(), PrefixLength} of a lpm_trie
 *	           | {pid, OsPid} of task_storage, {file, Path} of
 *	             inode_storage, {cgroup, Path} of cgrp_storage
 *	value()    = binary() of the map's value size | integer()
 *	           | [value()], one for each possible CPU, of a per-CPU map
 *	           | ebpf_map() of a map-in-map; locator() to put one
 *	           | {cgroup, Path} of a cgroup_array
 *	           | {ifname, Name} of a devmap
 *	           | a program, or one behind a number: program_values.c
 *
 * Those of a view are terms of their types: typed.c.
 *
 * A number is never taken for a descriptor: where the kernel wants one, the
 * caller names the object, and it is opened here.
 */
#include "call/values.h"

#include <errno.h>
#include <linux/bpf.h>
#include <string.h>

#include "call/inner_maps.h"
#include "call/locators.h"
#include "call/named.h"
#include "call/objects.h"
#include "call/program_values.h"
#include "call/typed.h"
#include "limits/map_memory.h"

#define BINARY_HEADER_SIZE 5
#define ANSWER_MARGIN 16 /* the answer around a value and a handle */

/* A binary of exactly size bytes, in place; or an integer, in buffer. */
static bool read_bytes(struct term t, size_t size, char *buffer,
		       const char **bytes)
{
	size_t binary_size;

	if (term_read_binary(t, bytes, &binary_size))
		return binary_size == size;
	*bytes = buffer;
	return term_read_bytes(t, buffer, size);
}

/* Writes a descriptor as a key or a value. */
static bool lay_out_fd(int fd, char *buffer, size_t size)
{
	if (size < sizeof(fd))
		return false;
	memset(buffer, 0, size);
	memcpy(buffer, &fd, sizeof(fd));
	return true;
}

/* {ifname, Name} as an index without a program. *named if t is such a term. */
static bool read_interface(struct call *call, struct term t, char *buffer,
			   size_t size, bool *named)
{
	uint32_t index = 0;

	*named = false;
	if (!(call->map->traits & MAP_VALUE_IS_INTERFACE))
		return true;
	if (!named_read_interface(call, t, &index, named))
		return false;
	return !*named || lay_out_fd((int)index, buffer, size) ||
	       raise_reason(call, RAISED_BADARG);
}

/* --- Keys and values ---------------------------------------------------- */

/* PrefixLength:32 in host order, then the address in network order. */
static bool read_prefix(struct term t, char *bytes, size_t size)
{
	struct term pair[2], item;
	struct term_items items;
	uint32_t prefix, part;
	size_t width, n;

	if (!term_tuple_of(t, pair, 2) || !term_tuple(pair[0], &items) ||
	    !(items.left == 4 || items.left == 8) ||
	    !term_read_uint32(pair[1], &prefix))
		return false;
	width = items.left == 4 ? 1 : 2;
	n = items.left * width;
	if (size != sizeof(prefix) + n || prefix > 8 * n)
		return false;
	memcpy(bytes, &prefix, sizeof(prefix));
	for (bytes += sizeof(prefix); term_next(&items, &item);
	     bytes += width) {
		if (!term_read_uint32(item, &part) || part >> (8 * width))
			return false;
		bytes[0] = (char)(width == 2 ? part >> 8 : part);
		bytes[width - 1] = (char)part;
	}
	return term_end(&items);
}

static bool read_plain_key(const struct map *map, struct term t, char *buffer,
			   const char **key)
{
	if (read_bytes(t, map->key_size, buffer, key))
		return true;
	*key = buffer;
	return map->traits & MAP_PREFIX_LOOKUP &&
	       read_prefix(t, buffer, map->key_size);
}

bool values_read_key(struct call *call, struct term t, const char **key)
{
	struct map *map = call->map;
	char *buffer = call_buffer(call, &call->context->key, map->key_size);
	bool good;

	if (!buffer)
		return false;
	if (map->traits & MAP_KEY_IS_FD) {
		*key = buffer;
		if (!named_open_key(call, t))
			return false;
		good = lay_out_fd(call->key_fd, buffer, map->key_size);
	} else {
		*key = buffer;
		if (!read_interface(call, t, buffer, map->key_size, &good))
			return false;
		if (!good && typed_has_key(map))
			return typed_read_key(call, t, buffer);
		good = good || read_plain_key(map, t, buffer, key);
	}
	return good || raise_reason(call, RAISED_BADARG);
}

/* The process, file, cgroup or interface of a key does not exist any more. */
static bool is_gone(const struct raised *raised)
{
	return raised->reason == RAISED_ERRNO &&
	       (raised->error == ESRCH || raised->error == ENOENT ||
		raised->error == ENODEV);
}

bool values_find_key(struct call *call, struct term t, const char **key,
		     int *error)
{
	*error = 0;
	if (values_read_key(call, t, key))
		return true;
	if (!is_gone(&call->raised))
		return false;
	call->raised.reason = RAISED_NOTHING;
	*error = -ENOENT;
	return true;
}

/* The value of one CPU, padded as the kernel pads it. */
static bool read_cpu(const struct map *map, struct term t, char *slot)
{
	const char *bytes;

	if (!read_bytes(t, map->value_size, slot, &bytes))
		return false;
	if (bytes != slot)
		memcpy(slot, bytes, map->value_size);
	memset(slot + map->value_size, 0, map->value_stride - map->value_size);
	return true;
}

static bool read_each_cpu(const struct map *map, struct term_items *items,
			  char *slots)
{
	struct term item;

	if (items->left != map->cpus)
		return false;
	for (unsigned cpu = 0; cpu < map->cpus; cpu++)
		if (!term_next(items, &item) ||
		    !read_cpu(map, item, slots + cpu * map->value_stride))
			return false;
	return term_end(items);
}

static bool copy_to_cpus(const struct map *map, struct term t, char *slots)
{
	if (!read_cpu(map, t, slots))
		return false;
	for (unsigned cpu = 1; cpu < map->cpus; cpu++)
		memcpy(slots + cpu * map->value_stride, slots,
		       map->value_stride);
	return true;
}

static bool read_per_cpu(struct map *map, struct term t, char *slots)
{
	struct term_items items;

	return term_list(t, &items) ? read_each_cpu(map, &items, slots)
				    : copy_to_cpus(map, t, slots);
}

/* Opens the object that is the value, and writes its descriptor. */
static bool open_value(struct call *call, struct term t, char *buffer)
{
	struct map *map = call->map;
	int fd;

	if (map->traits & MAP_VALUE_IS_SOCKET)
		return raise_errno(call, -EOPNOTSUPP);
	if (map->traits & MAP_VALUE_IS_MAP &&
	    (objects_is_handle(t, &map_kind) || locators_is(t))) {
		if (!call_read_value_map(call, t))
			return false;
		map_memory_will_be_inner(call->value_map);
		fd = call->value_map->resource.fd;
	} else if (map->traits & MAP_VALUE_IS_CGROUP) {
		if (!named_open_cgroup(call, t, &call->value_fd))
			return false;
		fd = call->value_fd;
	} else { /* a number would be a descriptor of this process */
		return raise_reason(call, RAISED_BADARG);
	}
	return lay_out_fd(fd, buffer, map->value_size) ||
	       raise_reason(call, RAISED_BADARG);
}

/* Bytes 4 to 7 are the descriptor of a program, for which no number stands. */
static bool names_program(const struct map *map, const char *value)
{
	static const char none[4];

	return map->traits & MAP_VALUE_HAS_FD && map->value_size >= 8 &&
	       memcmp(value + 4, none, sizeof(none)) != 0;
}

bool values_read(struct call *call, struct term t, const char **value)
{
	struct map *map = call->map;
	char *buffer = values_buffer(call);
	bool good;

	if (!buffer)
		return false;
	*value = buffer;
	if (program_values_may_be(map) && program_values_is(map, t))
		return program_values_read(call, t, buffer);
	if (map->traits & MAP_VALUE_IS_FD)
		return open_value(call, t, buffer);
	if (!read_interface(call, t, buffer, map->value_size, &good))
		return false;
	if (!good && typed_has_value(map)) {
		if (!typed_read(call, t, buffer))
			return false;
		good = true;
	}
	if (!good)
		good = map->traits & MAP_PER_CPU
			       ? read_per_cpu(map, t, buffer)
			       : read_bytes(t, map->value_size, buffer, value);
	return (good && !names_program(map, *value)) ||
	       raise_reason(call, RAISED_BADARG);
}

bool values_check_answer(struct call *call, struct term handle)
{
	return call_check_answer(call, values_size(call->map) + handle.size +
					       ANSWER_MARGIN);
}

char *values_buffer(struct call *call)
{
	return call_buffer(call, &call->context->value,
			   map_entry_size(call->map));
}

/* The value of a map-in-map, as read, is the id of a map. Errors are raised. */
static void write_map(struct call *call, const char *bytes)
{
	struct resource *map = NULL;
	erlang_ref ref;
	uint32_t id;
	int error;

	memcpy(&id, bytes, sizeof(id));
	error = inner_maps_share(call, id, &ref);
	if (error == 0)
		map = objects_get(call, &ref, &map_kind);
	if (map) {
		objects_write_handle(call, map, &ref);
		resource_unref(map);
	} else {
		raise_errno(call, error ? error : -ENOENT);
		call->out->failed = true;
	}
}

void values_write(struct call *call, const char *bytes)
{
	const struct map *map = call->map;

	if (map->traits & MAP_VALUE_IS_MAP) {
		write_map(call, bytes);
		return;
	}
	if (program_values_may_be(map) && program_values_write(call, bytes))
		return;
	if (typed_has_value(map)) {
		typed_write(call, bytes);
		return;
	}
	if (!(map->traits & MAP_PER_CPU)) {
		term_write_binary(call->out, bytes, map->value_size);
		return;
	}
	term_write_list(call->out, (int)map->cpus);
	for (unsigned cpu = 0; cpu < map->cpus; cpu++)
		term_write_binary(call->out, bytes + cpu * map->value_stride,
				  map->value_size);
	term_write_nil(call->out);
}

int values_hold_map(struct call *call, const char *value)
{
	erlang_ref ref;
	uint32_t id;

	memcpy(&id, value, sizeof(id));
	return inner_maps_share(call, id, &ref);
}

int values_keep_map(void *context, const void *value)
{
	struct call *call = context;
	erlang_ref ref;
	uint32_t id;
	int error;

	memcpy(&id, value, sizeof(id));
	error = inner_maps_share(call, id, &ref);
	if (error == 0)
		error = handles_keep(call->context->common->handles, &ref);
	return error;
}

int values_get(struct call *call, const char *key, char *value)
{
	int error = map_get(call->map, key, value);

	if (error == 0 && call->map->traits & MAP_VALUE_IS_MAP)
		error = values_hold_map(call, value);
	return error;
}

bool values_take(struct call *call, const char *key, int *error, char **value)
{
	*value = values_buffer(call);
	if (!*value)
		return false;
	*error = call->map->traits & MAP_VALUE_IS_MAP
			 ? map_take_kept(call->map, key, *value,
					 values_keep_map, call)
			 : map_take(call->map, key, *value);
	return *error == 0 || *error == -ENOENT || raise_errno(call, *error);
}

size_t values_size(const struct map *map)
{
	size_t size;

	if (map->traits & MAP_VALUE_IS_MAP)
		return CALL_MAX_HANDLE_SIZE;
	size = typed_has_value(map)
		       ? typed_size(map)
		       : map_entry_size(map) +
				 (size_t)map->cpus * BINARY_HEADER_SIZE;
	return program_values_may_be(map) && size < PROGRAM_VALUES_SIZE
		       ? PROGRAM_VALUES_SIZE
		       : size;
}

size_t values_key_size(const struct map *map)
{
	return typed_has_key(map) ? typed_key_size(map)
				  : map->key_size + BINARY_HEADER_SIZE;
}

void values_write_key(struct call *call, const char *bytes)
{
	if (typed_has_key(call->map))
		typed_write_key(call, bytes);
	else
		term_write_binary(call->out, bytes, call->map->key_size);
}

bool values_read_key_bytes(struct call *call, struct term t, const char **key)
{
	size_t size;

	if (!typed_has_key(call->map))
		return values_read_key(call, t, key);
	return (term_read_binary(t, key, &size) &&
		size == call->map->key_size) ||
	       raise_reason(call, RAISED_BADARG);
}

bool values_lookup(struct call *call, struct term key_term, int *error,
		   char **value)
{
	const char *key;

	if (!values_find_key(call, key_term, &key, error))
		return false;
	/* a bloom filter is looked up by value */
	if (call->map->traits & MAP_LOOKUP_TAKES_VALUE)
		return raise_errno(call, -EOPNOTSUPP);
	*value = values_buffer(call);
	if (!*value)
		return false;
	if (*error == 0)
		*error = values_get(call, key, *value);
	return *error == 0 || *error == -ENOENT || raise_errno(call, *error);
}
