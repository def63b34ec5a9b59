/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by handlers: buffers, maps and paths. A locator may stand for a map;
 * it is opened for the duration of the call.
 */
#include "call/call.h"

#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <unistd.h>

#include "base/budget.h"
#include "base/log.h"
#include "base/posix.h"
#include "bpf/link.h"
#include "bpf/program.h"
#include "call/locators.h"
#include "call/objects.h"
#include "call/refusal.h"
#include "call/typed.h"

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
	trim(context, &context->ranking);
	context->has_large_buffers = false;
}

void call_context_fini(struct call_context *context)
{
	drop_buffer(context->account, &context->key);
	drop_buffer(context->account, &context->value);
	drop_buffer(context->account, &context->cursor);
	drop_buffer(context->account, &context->batch);
	drop_buffer(context->account, &context->ranking);
	drop_buffer(context->account, &context->path);
}

void call_end(struct call *call)
{
	map_unref(call->map);
	map_unref(call->value_map);
	if (call->program)
		resource_unref(&call->program->resource);
	if (call->link)
		resource_unref(&call->link->resource);
	if (call->key_fd >= 0)
		close(call->key_fd);
	if (call->value_fd >= 0)
		close(call->value_fd);
	if (call->context->has_large_buffers)
		trim_all(call->context);
}

/* --- Maps --------------------------------------------------------------- */

static bool read_map(struct call *call, struct term t, enum located located,
		     struct map **map)
{
	map_unref(*map);
	*map = map_of(objects_try(call, t, &map_kind));
	if (*map)
		return true;
	if (!locators_is(t))
		return raise_term(call, RAISED_BADMAP, t);
	if (located == LOCATED_NEVER)
		return raise_reason(call, RAISED_BADARG);
	return locators_read(
		call, t, located == LOCATED_TO_READ ? BPF_F_RDONLY : 0, map);
}

/*
 * A call that changes a map returns the handle as it came. Its bytes are
 * reserved first, so that no change goes unreported because memory ran out.
 */
bool call_read_map(struct call *call, struct term t)
{
	return read_map(call, t, call->located, &call->map) &&
	       (call->located != LOCATED_TO_WRITE ||
		typed_check_writable(call)) &&
	       call_check_answer(call, t.size);
}

/* Read-only is enough: the descriptor only identifies the map. */
bool call_read_value_map(struct call *call, struct term t)
{
	return read_map(call, t, LOCATED_TO_READ, &call->value_map);
}

/* A program reads and writes it, whatever its descriptor may. */
bool call_read_program_map(struct call *call, struct term t, const char *name,
			   struct map **map)
{
	return read_map(call, t, LOCATED_TO_WRITE, map) &&
	       (!(*map)->resource.restricted ||
		refusal_raise(call, REFUSAL_RESTRICTED_MAP, name));
}

void call_write_type(struct call *call, uint32_t type)
{
	const char *name = map_type_name(type);

	if (name)
		term_write_atom(call->out, name);
	else
		term_write_uint(call->out, type);
}

/* --- Paths --------------------------------------------------------------- */

bool call_read_path(struct call *call, struct term t, char path[PATH_MAX])
{
	return (term_read_text(t, path, PATH_MAX) && path[0] == '/') ||
	       raise_reason(call, RAISED_BADARG);
}

bool call_read_lifetime(struct call *call, struct term t,
			enum handles_lifetime *lifetime)
{
	for (int i = HANDLES_NODE; i <= HANDLES_PERMANENT; i++)
		if (term_is_atom(t, handles_lifetimes[i])) {
			*lifetime = (enum handles_lifetime)i;
			return true;
		}
	return raise_reason(call, RAISED_BADARG);
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

static bool write_reason(struct call *call, enum raised_reason reason,
			 const char *name)
{
	call->returned = STATS_RAISED + (int)reason;
	term_write_tuple(call->out, 2);
	term_write_atom(call->out, "error");
	term_write_atom(call->out, name);
	return true;
}

bool call_write_ambiguous(struct call *call)
{
	return write_reason(call, RAISED_AMBIGUOUS, "ambiguous");
}

bool call_write_notype(struct call *call)
{
	return write_reason(call, RAISED_NOTYPE, "notype");
}

bool call_write_ok(struct call *call, int error)
{
	if (error < 0)
		return call_write_error(call, error);
	term_write_atom(call->out, "ok");
	return true;
}
