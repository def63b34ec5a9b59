/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by handlers: buffers, handles and paths.
 *
 *	ebpf_map() = {ebpf_map, reference(), Type, KeySize, ValueSize,
 *	              MaxEntries}
 *
 * Of a handle that comes in, only the reference counts. A locator may stand for
 * the map instead; it is opened for the duration of the call.
 */
#include "call/call.h"

#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <unistd.h>

#include "base/budget.h"
#include "base/log.h"
#include "base/posix.h"
#include "call/locators.h"

#define KEPT_CAPACITY BUDGET_FREE /* of a buffer, between calls */

static char *grow(struct call *call, struct buffer *buffer, size_t size,
		  size_t max)
{
	char *bytes;

	if (size > max) {
		raise_reason(call, RAISED_TOO_BIG);
		return NULL;
	}
	if (size <= buffer->capacity && buffer->bytes)
		return buffer->bytes;
	bytes = budget_realloc(call->context->account, buffer->bytes,
			       buffer->capacity, size ? size : 1);
	if (!bytes) {
		raise_no_memory(call);
		return NULL;
	}
	buffer->bytes = bytes;
	buffer->capacity = size;
	if (size > KEPT_CAPACITY)
		call->context->has_large_buffers = true;
	return bytes;
}

char *call_buffer(struct call *call, struct buffer *buffer, size_t size)
{
	return grow(call, buffer, size, call->context->common->max_message);
}

char *call_batch_buffer(struct call *call, size_t size)
{
	return grow(call, &call->context->batch, size, CALL_MAX_BATCH);
}

bool call_check_answer(struct call *call, size_t size)
{
	if (!term_write_fits(call->out, size))
		return raise_reason(call, RAISED_TOO_BIG);
	return term_write_reserve(call->out, size) || raise_no_memory(call);
}

/* --- The end ------------------------------------------------------------ */

static void drop_buffer(struct account *account, struct buffer *buffer)
{
	budget_free(account, buffer->bytes, buffer->capacity);
	*buffer = (struct buffer){ .bytes = NULL };
}

static void trim(struct call_context *context, struct buffer *buffer)
{
	if (buffer->capacity > KEPT_CAPACITY)
		drop_buffer(context->account, buffer);
}

static void trim_all(struct call_context *context)
{
	trim(context, &context->key);
	trim(context, &context->value);
	trim(context, &context->cursor);
	trim(context, &context->batch);
	context->has_large_buffers = false;
}

void call_context_fini(struct call_context *context)
{
	drop_buffer(context->account, &context->key);
	drop_buffer(context->account, &context->value);
	drop_buffer(context->account, &context->cursor);
	drop_buffer(context->account, &context->batch);
}

void call_end(struct call *call)
{
	map_unref(call->map);
	map_unref(call->value_map);
	if (call->key_fd >= 0)
		close(call->key_fd);
	if (call->value_fd >= 0)
		close(call->value_fd);
	if (call->context->has_large_buffers)
		trim_all(call->context);
}

/* --- Handles ------------------------------------------------------------ */

/* False unless t is a tuple with the tag of a handle. */
static bool open_handle(struct term t, struct term parts[2])
{
	struct term_items items;

	return term_tuple(t, &items) && term_next_some(&items, parts, 2) > 0 &&
	       term_is_atom(parts[0], "ebpf_map");
}

bool call_is_handle(struct term t)
{
	struct term parts[2];

	return open_handle(t, parts);
}

bool call_read_handle_ref(struct term t, erlang_ref *ref)
{
	struct term parts[2] = { { .at = NULL } };

	return open_handle(t, parts) && term_read_ref(parts[1], ref);
}

struct map *call_get_map(const struct call *call, const erlang_ref *ref)
{
	struct resource *resource =
		handles_get(call->context->common->handles, ref);
	struct map *map = map_of(resource);

	if (!map)
		resource_unref(resource);
	return map;
}

static bool read_map(struct call *call, struct term t, enum located located,
		     struct map **map)
{
	erlang_ref ref;

	map_unref(*map);
	*map = NULL;
	if (call_read_handle_ref(t, &ref))
		*map = call_get_map(call, &ref);
	else if (locators_is(t))
		return located == LOCATED_NEVER
			       ? raise_reason(call, RAISED_BADARG)
			       : locators_read(call, t,
					       located == LOCATED_TO_READ
						       ? BPF_F_RDONLY
						       : 0,
					       map);
	return *map || raise_term(call, RAISED_BADMAP, t);
}

/*
 * A call that changes a map returns the handle as it came. Its bytes are
 * reserved first, so that no change goes unreported because memory ran out.
 */
bool call_read_map(struct call *call, struct term t)
{
	return read_map(call, t, call->located, &call->map) &&
	       call_check_answer(call, t.size);
}

/* Read-only is enough: the descriptor only identifies the map. */
bool call_read_value_map(struct call *call, struct term t)
{
	return read_map(call, t, LOCATED_TO_READ, &call->value_map);
}

void call_write_type(struct call *call, uint32_t type)
{
	const char *name = map_type_name(type);

	if (name)
		term_write_atom(call->out, name);
	else
		term_write_uint(call->out, type);
}

void call_write_handle(struct call *call, const struct map *map,
		       const erlang_ref *ref)
{
	term_write_tuple(call->out, 6);
	term_write_atom(call->out, "ebpf_map");
	term_write_ref(call->out, ref);
	call_write_type(call, map->type);
	term_write_uint(call->out, map->key_size);
	term_write_uint(call->out, map->value_size);
	term_write_uint(call->out, map->max_entries);
}

/* --- Paths --------------------------------------------------------------- */

bool call_read_path(struct call *call, struct term t, char path[PATH_MAX])
{
	return (term_read_text(t, path, PATH_MAX) && path[0] == '/') ||
	       raise_reason(call, RAISED_BADARG);
}

/* --- Results ------------------------------------------------------------- */

bool call_write_error(struct call *call, int error)
{
	char name[POSIX_NAME_SIZE];

	call->returned = -error;
	term_write_tuple(call->out, 2);
	term_write_atom(call->out, "error");
	term_write_atom(call->out, posix_name(-error, name));
	return true;
}
