/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions on maps and their handles:
 *
 *	new(Type, KeySize, ValueSize, MaxEntries[, Options])
 *	           -> ebpf_map() | {error, Posix}
 *	open({id, Id} | {pinned, Path} | {name, Name}[, Options])
 *	           -> ebpf_map() | {error, Posix | ambiguous}
 *	close(Map) -> ok | {error, ebadf}
 *	fd(Map)    -> integer()
 *	type(Map)  -> atom() | integer()
 *	pin(Path, Map), unpin(Path, Map), freeze(Map)
 *	           -> ok | {error, Posix}
 */
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>

#include "base/log.h"
#include "bpf/map_rules.h"
#include "call/call.h"
#include "call/locators.h"
#include "call/map_options.h"
#include "call/refusal.h"
#include "functions/handlers.h"
#include "handles/audit.h"
#include "host/pin_path.h"
#include "limits/map_memory.h"
#include "limits/pin_limit.h"

/* --- new/4,5 ------------------------------------------------------------ */

/* Consumes the map, and writes its handle or an error. */
static bool write_new_handle(struct call *call, struct map *map,
			     enum handles_lifetime lifetime)
{
	struct call_context *context = call->context;
	struct handles_lease lease = { .lifetime = lifetime,
				       .process = call->caller.at,
				       .process_size = call->caller.size };
	int error;

	/* another thread may end the handle at once */
	call->map = map_ref(map);
	error = handles_add(context->common->handles, context->owner,
			    &map->resource, &lease, &call->ref);

	if (error < 0) {
		map_unref(map);
		return call_write_error(call, error);
	}
	call->watch = lifetime == HANDLES_PROCESS;
	call_write_handle(call, map, &call->ref);
	return true;
}

static void log_fault(const char *text, void *context)
{
	static struct log_limit limit = LOG_LIMIT_INITIALIZER;
	const struct call *call = context;

	log_limited(&limit, LOG_INFO, "no new map for %s: %s",
		    call->context->peer, text);
}

bool map_functions_new(struct call *call)
{
	struct call_context *context = call->context;
	struct map_options options;
	struct map *map = NULL;
	int error;

	if (!map_options_read_new(call, &options) ||
	    !call_check_answer(call, CALL_MAX_HANDLE_SIZE))
		return false;
	error = handles_check_capacity(context->common->handles, context->owner,
				       RESOURCE_MAPS, 1);
	if (error == 0 && !options.name_is_valid)
		error = -EINVAL;
	options.spec.stopped = context->stopped;
	if (error == 0)
		error = map_memory_make(context->common->map_memory,
					&options.spec, context->peer, &map);
	if (error == 0)
		return write_new_handle(call, map, options.lifetime);
	map_rules_check(&options.spec, options.name_is_valid, log_fault, call);
	return call_write_error(call, error);
}

/* --- open/1,2 ----------------------------------------------------------- */

/* A node that may only read may open read-only, and not permanently. */
static bool may_open(const struct call *call, const struct map_options *options)
{
	uint32_t flags = options->spec.flags & (BPF_F_RDONLY | BPF_F_WRONLY);

	return call->context->permission >= PERMISSION_WRITE ||
	       (flags == BPF_F_RDONLY &&
		options->lifetime != HANDLES_PERMANENT);
}

static bool open_map(struct call *call, const struct map_options *options)
{
	uint32_t flags = options->spec.flags;
	struct map *map = NULL;
	int error =
		handles_check_capacity(call->context->common->handles,
				       call->context->owner, RESOURCE_MAPS, 1);

	if (!may_open(call, options))
		return refusal_raise(call, REFUSAL_MAY_ONLY_READ, NULL);
	if (!call_check_answer(call, CALL_MAX_HANDLE_SIZE))
		return false;
	if (error == 0 &&
	    !locators_open(call, call->args[0], flags, &map, &error))
		return false;
	if (error == LOCATORS_AMBIGUOUS) {
		call->returned = STATS_RAISED + RAISED_AMBIGUOUS;
		term_write_tuple(call->out, 2);
		term_write_atom(call->out, "error");
		term_write_atom(call->out, "ambiguous");
		return true;
	}
	if (error < 0)
		return call_write_error(call, error);
	return write_new_handle(call, map, options->lifetime);
}

bool map_functions_open1(struct call *call)
{
	struct map_options options = { .lifetime = HANDLES_NODE };

	return open_map(call, &options);
}

/* open/2 takes only the options of a descriptor and of a handle. */
static bool are_for_open(const struct map_options *options)
{
	const struct map_spec *spec = &options->spec;

	return !(spec->flags & ~(uint32_t)(BPF_F_RDONLY | BPF_F_WRONLY)) &&
	       spec->extra == 0 && !spec->inner && !options->named;
}

bool map_functions_open2(struct call *call)
{
	struct map_options options = { .lifetime = HANDLES_NODE };

	if (!map_options_read(call, call->args[1], &options))
		return false;
	return are_for_open(&options) ? open_map(call, &options)
				      : raise_reason(call, RAISED_BADARG);
}

/* --- Handles ------------------------------------------------------------ */

static bool write_ok_or_error(struct call *call, int error)
{
	if (error < 0)
		return call_write_error(call, error);
	term_write_atom(call->out, "ok");
	return true;
}

bool map_functions_close(struct call *call)
{
	struct call_context *context = call->context;
	int error = -EBADF;

	if (locators_is(call->args[0]))
		return raise_reason(call, RAISED_BADARG);
	if (!call_is_handle(call->args[0]))
		return raise_term(call, RAISED_BADMAP, call->args[0]);
	if (call_read_handle_ref(call->args[0], &call->ref))
		error = handles_close(
			context->common->handles, context->owner, &call->ref,
			context->permission < PERMISSION_WRITE, &call->unwatch);
	if (error == -EACCES)
		return refusal_raise(call, REFUSAL_NOT_ITS_OWN, NULL);
	return write_ok_or_error(call, error);
}

bool map_functions_fd(struct call *call)
{
	if (!call_read_map(call, call->args[0]))
		return false;
	term_write_uint(call->out, (unsigned)call->map->resource.fd);
	return true;
}

bool map_functions_type(struct call *call)
{
	if (!call_read_map(call, call->args[0]))
		return false;
	call_write_type(call, call->map->type);
	return true;
}

static void audit_pin(const char *event, const struct map *map,
		      const struct pin_path *path, const char *text)
{
	char real[PATH_MAX];
	struct audit audit = {
		.event = event,
		.handle = AUDIT_NO_HANDLE,
		.path = pin_path_real(path, real) ? real : text,
	};

	audit_resource(audit, &map->resource);
}

static bool with_path(struct call *call, const char *event,
		      int (*operation)(struct call *call,
				       const struct pin_path *path))
{
	const struct root *root = &call->context->common->pin_root;
	char text[PATH_MAX];
	struct pin_path path;
	int error;

	if (!call_read_map(call, call->args[1]) ||
	    !call_read_path(call, call->args[0], text))
		return false;
	error = pin_path_open_folder(&path, root, text);
	if (error == -EACCES && root->path)
		return refusal_raise(call, REFUSAL_OUTSIDE_PIN_ROOT, text);
	if (error == 0)
		error = operation(call, &path);
	if (error == 0 && audit_is_on())
		audit_pin(event, call->map, &path, text);
	pin_path_close(&path);
	return write_ok_or_error(call, error);
}

static int pin(struct call *call, const struct pin_path *path)
{
	const struct call_context *context = call->context;

	map_memory_will_be_pinned(call->map);
	return pin_limit_pin(&context->common->pin_limit,
			     &context->common->pin_root, &call->map->resource,
			     path, context->peer);
}

static int unpin(struct call *call, const struct pin_path *path)
{
	return pin_limit_unpin(&call->context->common->pin_limit,
			       &call->map->resource, path);
}

bool map_functions_pin(struct call *call)
{
	return with_path(call, "pinned", pin);
}

bool map_functions_unpin(struct call *call)
{
	return with_path(call, "unpinned", unpin);
}

bool map_functions_freeze(struct call *call)
{
	int error;

	if (!call_read_map(call, call->args[0]))
		return false;
	error = map_freeze(call->map);
	if (error == 0)
		audit_resource((struct audit){ .event = "frozen",
					       .handle = AUDIT_NO_HANDLE },
			       &call->map->resource);
	return write_ok_or_error(call, error);
}
