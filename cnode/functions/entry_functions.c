/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions on single entries. Each reads its arguments, calls one
 * operation of the map and writes the result:
 *
 *	get(Key, Map[, Default]) -> Value | Default
 *	find(Key, Map)           -> {ok, Value} | error
 *	is_key(Key, Map)         -> boolean()
 *	put(Key, Value, Map), insert(Key, Value, Map),
 *	update(Key, Value, Map), remove(Key, Map)
 *	                         -> Map, as it came
 *	take(Key, Map)           -> {Value, Map} | error
 *	push(Value, Map)         -> Map, as it came
 *	pop(Map), peek(Map)      -> Value | empty
 */
#include <errno.h>
#include <string.h>

#include "bpf/retry.h"
#include "call/call.h"
#include "call/values.h"
#include "functions/handlers.h"

bool entry_functions_get2(struct call *call)
{
	char *value = NULL;
	int error = 0;

	if (!call_read_map(call, call->args[1]) ||
	    !values_lookup(call, call->args[0], &error, &value))
		return false;
	if (error < 0)
		return raise_term(call, RAISED_BADKEY, call->args[0]);
	values_write(call, value);
	return true;
}

bool entry_functions_get3(struct call *call)
{
	char *value = NULL;
	int error = 0;

	if (!call_read_map(call, call->args[1]) ||
	    !values_lookup(call, call->args[0], &error, &value))
		return false;
	if (error < 0)
		term_write_term(call->out, call->args[2]);
	else
		values_write(call, value);
	return true;
}

/* The arguments Key, Value, Map. */
static bool read_entry(struct call *call, const char **key, const char **value)
{
	return call_read_map(call, call->args[2]) &&
	       values_read_key(call, call->args[0], key) &&
	       values_read(call, call->args[1], value);
}

/* The same for an entry that must exist; *error as for values_find_key(). */
static bool read_existing(struct call *call, const char **key,
			  const char **value, int *error)
{
	return call_read_map(call, call->args[2]) &&
	       values_find_key(call, call->args[0], key, error) &&
	       values_read(call, call->args[1], value);
}

/* put, update and remove return the handle as it came. */
static bool done(struct call *call, int error, struct term handle)
{
	if (error < 0)
		return raise_errno(call, error);
	term_write_term(call->out, handle);
	return true;
}

static int put(struct call *call, const char *key, const char *value)
{
	struct retry retry = { .stopped = call->context->stopped };
	int error;

	do
		error = map_put(call->map, key, value);
	while (retry_after(&retry, error));
	return error;
}

bool entry_functions_put(struct call *call)
{
	const char *key, *value;

	if (!read_entry(call, &key, &value))
		return false;
	return done(call, put(call, key, value), call->args[2]);
}

typedef int (*looking_put)(struct map *map, const void *key, const void *value,
			   void *old);

/* A put that looks the entry up first, into the batch buffer. */
static int put_by(struct call *call, looking_put operation, const char *key,
		  const char *value)
{
	struct retry retry = { .stopped = call->context->stopped };
	char *old = call->context->batch.bytes;
	int error;

	do
		error = operation(call->map, key, value, old);
	while (retry_after(&retry, error));
	return error;
}

bool entry_functions_update(struct call *call)
{
	const char *key, *value;
	int error;

	if (!read_existing(call, &key, &value, &error) ||
	    !call_batch_buffer(call, map_entry_size(call->map)))
		return false;
	if (error == 0)
		error = put_by(call, map_update, key, value);
	if (error == -ENOENT)
		return raise_term(call, RAISED_BADKEY, call->args[0]);
	return done(call, error, call->args[2]);
}

bool entry_functions_insert(struct call *call)
{
	const char *key, *value;
	int error;

	if (!read_entry(call, &key, &value) ||
	    !call_batch_buffer(call, map_entry_size(call->map)))
		return false;
	error = put_by(call, map_insert, key, value);
	if (error == -EEXIST)
		return raise_term(call, RAISED_KEYEXISTS, call->args[0]);
	return done(call, error, call->args[2]);
}

bool entry_functions_remove(struct call *call)
{
	const char *key;
	int error;

	if (!call_read_map(call, call->args[1]) ||
	    !values_find_key(call, call->args[0], &key, &error))
		return false;
	if (call->map->traits & MAP_NO_REMOVAL)
		return raise_errno(call, -EINVAL);
	if (error == 0)
		error = map_remove(call->map, key);
	return done(call, error == -ENOENT ? 0 : error, call->args[1]);
}

bool entry_functions_take(struct call *call)
{
	const char *key;
	char *value = NULL;
	int error;

	if (!call_read_map(call, call->args[1]) ||
	    !values_find_key(call, call->args[0], &key, &error) ||
	    !values_check_answer(call, call->args[1]))
		return false;
	if (call->map->traits & MAP_LOOKUP_TAKES_VALUE)
		return raise_errno(call, -EOPNOTSUPP);
	if (call->map->traits & MAP_NO_REMOVAL)
		return raise_errno(call, -EINVAL);
	if (error == 0 && !values_take(call, key, &error, &value))
		return false;
	if (error < 0) {
		term_write_atom(call->out, "error");
		return true;
	}
	term_write_tuple(call->out, 2);
	values_write(call, value);
	term_write_term(call->out, call->args[1]);
	return true;
}

/* --- find, is_key ------------------------------------------------------- */

bool entry_functions_find(struct call *call)
{
	char *value = NULL;
	int error = 0;

	if (!call_read_map(call, call->args[1]) ||
	    !values_lookup(call, call->args[0], &error, &value))
		return false;
	if (error < 0) {
		term_write_atom(call->out, "error");
		return true;
	}
	term_write_tuple(call->out, 2);
	term_write_atom(call->out, "ok");
	values_write(call, value);
	return true;
}

/* A bloom filter is looked up by value: it may have it, or surely has not. */
static bool is_in_filter(struct call *call, int *error)
{
	const char *value;

	if (!values_read(call, call->args[0], &value))
		return false;
	if (value != call->context->value.bytes)
		value = memcpy(call->context->value.bytes, value,
			       call->map->value_size);
	*error = map_get(call->map, NULL, call->context->value.bytes);
	return *error == 0 || *error == -ENOENT || raise_errno(call, *error);
}

bool entry_functions_is_key(struct call *call)
{
	char *value = NULL;
	int error = 0;

	if (!call_read_map(call, call->args[1]))
		return false;
	if (call->map->traits & MAP_LOOKUP_TAKES_VALUE
		    ? !is_in_filter(call, &error)
		    : !values_lookup(call, call->args[0], &error, &value))
		return false;
	term_write_atom(call->out, error == 0 ? "true" : "false");
	return true;
}

/* --- Maps without keys -------------------------------------------------- */

static bool read_keyless_map(struct call *call, struct term t)
{
	return call_read_map(call, t) &&
	       (call->map->key_size == 0 || raise_errno(call, -EOPNOTSUPP));
}

bool entry_functions_push(struct call *call)
{
	const char *value;

	if (!read_keyless_map(call, call->args[1]) ||
	    !values_read(call, call->args[0], &value))
		return false;
	return done(call, put(call, NULL, value), call->args[1]);
}

/* The result of map_get() or map_take() on a map without keys. */
static bool write_value_or_empty(struct call *call,
				 int (*operation)(struct map *map,
						  const void *key, void *value))
{
	char *value;
	int error;

	if (!read_keyless_map(call, call->args[0]) ||
	    !values_check_answer(call, call->args[0]))
		return false;
	if (call->map->traits & MAP_LOOKUP_TAKES_VALUE)
		return raise_errno(call, -EOPNOTSUPP);
	value = values_buffer(call);
	if (!value)
		return false;
	error = operation(call->map, NULL, value);
	if (error < 0 && error != -ENOENT)
		return raise_errno(call, error);
	if (error < 0)
		term_write_atom(call->out, "empty");
	else
		values_write(call, value);
	return true;
}

bool entry_functions_pop(struct call *call)
{
	return write_value_or_empty(call, map_take);
}

bool entry_functions_peek(struct call *call)
{
	return write_value_or_empty(call, map_get);
}
