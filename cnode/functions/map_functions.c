/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions on maps and their handles:
 *
 *	new(Type, KeySize, ValueSize, MaxEntries[, Options]),
 *	new(Type, KeyLayout, ValueLayout, MaxEntries[, Options])
 *	           -> ebpf_map() | {error, Posix}
 *	open({id, Id} | {pinned, Path} | {name, Name}[, Options])
 *	           -> ebpf_map() | {error, Posix | ambiguous | notype}
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
#include "call/new_types.h"
#include "call/objects.h"
#include "call/pinning.h"
#include "call/refusal.h"
#include "call/views.h"
#include "functions/handlers.h"
#include "handles/audit.h"
#include "limits/map_memory.h"

/* --- new/4,5 ------------------------------------------------------------ */

static void log_fault(const char *text, void *context)
{
	static struct log_limit limit = LOG_LIMIT_INITIALIZER;
	const struct call *call = context;

	log_limited(&limit, LOG_INFO, "no new map for %s: %s",
		    call->context->peer, text);
}

static int make(struct call *call, struct map_options *options,
		struct map **map)
{
	struct call_context *context = call->context;
	int error = handles_check_capacity(context->common->handles,
					   context->owner, RESOURCE_MAPS, 1);

	if (error == 0 && !options->name_is_valid)
		error = -EINVAL;
	if (error < 0)
		return error;
	options->spec.stopped = context->stopped;
	if (options->plans)
		new_types_load(options->plans, &options->spec);
	error = map_memory_make(context->common->map_memory, &options->spec,
				context->peer, map);
	new_types_close(&options->spec);
	return error;
}

static bool make_new(struct call *call, struct map_options *options)
{
	struct map *map = NULL;
	int error;

	if (!call_check_answer(call, CALL_MAX_HANDLE_SIZE))
		return false;
	error = make(call, options, &map);
	if (error < 0) {
		map_rules_check(&options->spec, options->name_is_valid,
				log_fault, call);
		return call_write_error(call, error);
	}
	if (options->plans &&
	    !views_make_of(call, &options->view,
			   types_plans_ref(options->plans), map, &error)) {
		map_unref(map);
		return false;
	}
	if (error == 0)
		return objects_hold_and_write(call, &map->resource,
					      options->lifetime, NULL);
	map_unref(map);
	return call_write_error(call, error);
}

bool map_functions_new(struct call *call)
{
	struct map_options options;
	bool good;
	int error;

	if (!map_options_read_new(call, &options, &error))
		return false;
	if (error != 0)
		return views_write_error(call, error);
	good = make_new(call, &options);
	types_plans_unref(options.plans);
	return good;
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
	if (error == LOCATORS_AMBIGUOUS)
		return call_write_ambiguous(call);
	if (error < 0)
		return call_write_error(call, error);
	if (views_are_wanted(&options->view) &&
	    !views_make(call, &options->view, NULL, map, &error)) {
		map_unref(map);
		return false;
	}
	if (error == 0)
		return objects_hold_and_write(call, &map->resource,
					      options->lifetime, NULL);
	map_unref(map);
	return views_write_error(call, error);
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

bool map_functions_close(struct call *call)
{
	if (locators_is(call->args[0]))
		return raise_reason(call, RAISED_BADARG);
	return objects_close(call, call->args[0], &map_kind, PERMISSION_WRITE,
			     REFUSAL_NOT_ITS_OWN);
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

bool map_functions_pin(struct call *call)
{
	return call_read_map(call, call->args[1]) &&
	       pinning_pin(call, call->args[0], &call->map->resource);
}

bool map_functions_unpin(struct call *call)
{
	return call_read_map(call, call->args[1]) &&
	       pinning_unpin(call, call->args[0], &call->map->resource);
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
	return call_write_ok(call, error);
}
