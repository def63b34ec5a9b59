/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions on maps and on single entries. They read arguments, call one
 * operation of a map and write its result:
 *
 *	new(Type, KeySize, ValueSize, MaxEntries[, Options])
 *	                        -> ebpf_map() | {error, Posix}
 *	close(Map)              -> ok | {error, ebadf}
 *	fd(Map)                 -> integer()
 *	get(Key, Map[, Default]) -> value() | Default
 *	put(Key, Value, Map), update(Key, Value, Map), remove(Key, Map)
 *	                        -> Map, as it came
 *	take(Key, Map)          -> {value(), Map} | error
 */
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>

#include "call.h"

/* --- new/4,5 ------------------------------------------------------------ */

static const struct {
	const char *name;
	uint32_t flag;
} map_options[] = {
	{ "no_prealloc", BPF_F_NO_PREALLOC },
	{ "read", BPF_F_RDONLY },
	{ "write", BPF_F_WRONLY },
	{ "zero_seed", BPF_F_ZERO_SEED },
	{ "prog_read", BPF_F_RDONLY_PROG },
	{ "prog_write", BPF_F_WRONLY_PROG },
	{ "clone", BPF_F_CLONE },
	{ "mmapable", BPF_F_MMAPABLE },
};

/* The name, as far as it may go into a map_spec; longer ones are EINVAL. */
struct name {
	char text[MAP_NAME_SIZE];
	bool valid;
};

static void name_add(struct name *name, uint32_t character)
{
	size_t size = strlen(name->text);

	if (size + 1 == sizeof(name->text) || character == 0 || character > 127)
		name->valid = false;
	else
		name->text[size] = (char)character;
}

static bool read_name_list(struct term t, struct name *name)
{
	struct term_items items;
	struct term item;
	uint32_t character;

	if (!term_list(t, &items))
		return false;
	while (term_next(&items, &item)) {
		if (!term_read_uint32(item, &character))
			return false;
		name_add(name, character);
	}
	return term_end(&items);
}

static bool read_name(struct term t, struct name *name)
{
	const char *text;
	size_t size;

	if (!term_read_atom(t, &text, &size) &&
	    !term_read_binary(t, &text, &size))
		return read_name_list(t, name);
	for (size_t i = 0; i < size; i++)
		name_add(name, (unsigned char)text[i]);
	return true;
}

static bool read_option(struct term t, struct map_spec *spec, struct name *name)
{
	struct term pair[2];

	for (size_t i = 0; i < sizeof(map_options) / sizeof(map_options[0]);
	     i++) {
		if (term_is_atom(t, map_options[i].name)) {
			spec->flags |= map_options[i].flag;
			return true;
		}
	}
	memset(name, 0, sizeof(*name));
	name->valid = true;
	return term_tuple_of(t, pair, 2) && term_is_atom(pair[0], "name") &&
	       read_name(pair[1], name);
}

static bool read_options(struct term t, struct map_spec *spec,
			 struct name *name)
{
	struct term_items items;
	struct term item;

	if (!term_list(t, &items))
		return false;
	while (term_next(&items, &item))
		if (!read_option(item, spec, name))
			return false;
	return term_end(&items);
}

static bool read_type(struct term t, uint32_t *type)
{
	const char *name;

	for (*type = 0; (name = map_type_name(*type)); (*type)++)
		if (term_is_atom(t, name))
			return true;
	return false;
}

static bool read_spec(struct call *call, struct map_spec *spec)
{
	return read_type(call->args[0], &spec->type) &&
	       term_read_uint32(call->args[1], &spec->key_size) &&
	       term_read_uint32(call->args[2], &spec->value_size) &&
	       term_read_uint32(call->args[3], &spec->max_entries);
}

/* Takes over the map, and writes its handle or an error. */
static bool write_new_handle(struct call *call, struct map *map)
{
	struct functions_context *context = call->context;
	erlang_ref ref;
	int error = handles_add(context->handles, context->owner, map, &ref);

	if (error < 0) {
		map_unref(map);
		return call_write_error(call, error);
	}
	call_write_handle(call, map, &ref);
	return true;
}

static bool new_map(struct call *call, const struct map_spec *spec)
{
	struct map *map = NULL;
	int error = handles_check_room(call->context->handles);

	if (error == 0)
		error = map_new(spec, &map);
	if (error < 0)
		return call_write_error(call, error);
	return write_new_handle(call, map);
}

bool map_functions_new4(struct call *call)
{
	struct map_spec spec = { 0 };

	return read_spec(call, &spec) ? new_map(call, &spec)
				      : call_raise(call, RAISED_BADARG);
}

bool map_functions_new5(struct call *call)
{
	struct map_spec spec = { 0 };
	struct name name = { .valid = true };

	if (!read_spec(call, &spec) ||
	    !read_options(call->args[4], &spec, &name))
		return call_raise(call, RAISED_BADARG);
	if (!name.valid)
		return call_write_error(call, -EINVAL);
	memcpy(spec.name, name.text, sizeof(spec.name));
	return new_map(call, &spec);
}

/* --- Handles ------------------------------------------------------------ */

bool map_functions_close(struct call *call)
{
	struct term_items items;
	struct term element;
	erlang_ref ref;
	int error = -EBADF;

	if (!call_is_handle(call->args[0]))
		return call_raise_term(call, RAISED_BADMAP, call->args[0]);
	if (term_tuple(call->args[0], &items) && term_next(&items, &element) &&
	    term_next(&items, &element) && term_read_ref(element, &ref))
		error = handles_close(call->context->handles, &ref);
	if (error < 0)
		return call_write_error(call, error);
	term_write_atom(call->out, "ok");
	return true;
}

bool map_functions_fd(struct call *call)
{
	if (!call_read_map(call, call->args[0]))
		return false;
	term_write_uint(call->out, (unsigned)call->map->fd);
	return true;
}

/* --- Entries ------------------------------------------------------------ */

/* Reads the entry of a key to the buffer for values; -ENOENT for none. */
static bool lookup(struct call *call, struct term key_term, int *error,
		   char **value)
{
	const char *key;

	if (!call_read_key(call, key_term, &key))
		return false;
	/* its lookup takes a value, and says whether that was put */
	if (call->map->traits & MAP_VALUE_IN)
		return call_raise_errno(call, -EOPNOTSUPP);
	*value = call_value_room(call);
	if (!*value)
		return false;
	*error = map_get(call->map, key, *value);
	return *error == 0 || *error == -ENOENT ||
	       call_raise_errno(call, *error);
}

bool map_functions_get2(struct call *call)
{
	char *value = NULL;
	int error = 0;

	if (!call_read_map(call, call->args[1]) ||
	    !lookup(call, call->args[0], &error, &value))
		return false;
	if (error < 0)
		return call_raise_term(call, RAISED_BADKEY, call->args[0]);
	call_write_value(call, value);
	return true;
}

bool map_functions_get3(struct call *call)
{
	char *value = NULL;
	int error = 0;

	if (!call_read_map(call, call->args[1]) ||
	    !lookup(call, call->args[0], &error, &value))
		return false;
	if (error < 0)
		term_write_term(call->out, call->args[2]);
	else
		call_write_value(call, value);
	return true;
}

/* What put, update and remove return: the handle, as it came. */
static bool done(struct call *call, int error, struct term handle)
{
	if (error < 0)
		return call_raise_errno(call, error);
	term_write_term(call->out, handle);
	return true;
}

bool map_functions_put(struct call *call)
{
	const char *key, *value;

	if (!call_read_map(call, call->args[2]) ||
	    !call_read_key(call, call->args[0], &key) ||
	    !call_read_value(call, call->args[1], &value))
		return false;
	return done(call, map_put(call->map, key, value), call->args[2]);
}

bool map_functions_update(struct call *call)
{
	const char *key, *value;
	char *old;
	int error;

	if (!call_read_map(call, call->args[2]) ||
	    !call_read_key(call, call->args[0], &key) ||
	    !call_read_value(call, call->args[1], &value))
		return false;
	old = call_room(call, &call->context->batch, map_entry_size(call->map));
	if (!old)
		return false;
	error = map_update(call->map, key, value, old);
	if (error == -ENOENT)
		return call_raise_term(call, RAISED_BADKEY, call->args[0]);
	return done(call, error, call->args[2]);
}

bool map_functions_remove(struct call *call)
{
	const char *key;
	int error;

	if (!call_read_map(call, call->args[1]) ||
	    !call_read_key(call, call->args[0], &key))
		return false;
	error = map_remove(call->map, key);
	return done(call, error == -ENOENT ? 0 : error, call->args[1]);
}

bool map_functions_take(struct call *call)
{
	const char *key;
	char *value;
	int error;

	if (!call_read_map(call, call->args[1]) ||
	    !call_read_key(call, call->args[0], &key) ||
	    !call_check_answer(call, call->args[1]))
		return false;
	if (call->map->traits & MAP_VALUE_IN)
		return call_raise_errno(call, -EOPNOTSUPP);
	value = call_value_room(call);
	if (!value)
		return false;
	error = map_take(call->map, key, value);
	if (error < 0 && error != -ENOENT)
		return call_raise_errno(call, error);
	if (error < 0) {
		term_write_atom(call->out, "error");
		return true;
	}
	term_write_tuple(call->out, 2);
	call_write_value(call, value);
	term_write_term(call->out, call->args[1]);
	return true;
}
