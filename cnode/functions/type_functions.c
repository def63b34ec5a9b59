/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions on types of keys and values:
 *
 *	typed(Map, Options) -> ebpf_map() | {error, notype | Posix}
 *	types(Map)          -> {KeyLayout, ValueLayout}
 *	                     | {error, notype | Posix}
 *	Options = [{types, btf | {KeyLayout, ValueLayout}} | {as, _}
 *	        |  {percpu, _} | {lifetime, _}], of call/views.c
 *
 * typed makes a handle of its own, with the rights of that of Map. Without
 * types it takes those of Map, if that is a view, or else its BTF. types tells
 * those of a view, or else those of the BTF. {error, eperm}: to read the BTF
 * takes CAP_SYS_ADMIN; {error, e2big}: it is too large for a view.
 */
#include <errno.h>

#include "call/call.h"
#include "call/map_options.h"
#include "call/objects.h"
#include "call/refusal.h"
#include "call/views.h"
#include "functions/handlers.h"
#include "limits/map_memory.h"

static bool read_options(struct call *call, struct map_options *options)
{
	const struct map_spec *spec = &options->spec;

	if (!map_options_read(call, call->args[1], options))
		return false;
	if (spec->flags != 0 || spec->extra != 0 || spec->inner ||
	    options->named)
		return raise_reason(call, RAISED_BADARG);
	return options->lifetime != HANDLES_PERMANENT ||
	       call->context->permission >= PERMISSION_WRITE ||
	       refusal_raise(call, REFUSAL_MAY_ONLY_READ, NULL);
}

static int open_view(struct call *call, struct map **view)
{
	struct call_context *context = call->context;
	int error = handles_check_capacity(context->common->handles,
					   context->owner, RESOURCE_MAPS, 1);

	return error < 0 ? error
			 : map_memory_open_view(context->common->map_memory,
						call->map, view);
}

bool type_functions_typed(struct call *call)
{
	struct map_options options = { .lifetime = HANDLES_NODE };
	struct map *view = NULL;
	int error;

	if (!call_read_map(call, call->args[0]) ||
	    !read_options(call, &options) ||
	    !call_check_answer(call, CALL_MAX_HANDLE_SIZE))
		return false;
	error = open_view(call, &view);
	if (error < 0)
		return call_write_error(call, error);
	if (!views_make(call, &options.view, call->map, view, &error)) {
		map_unref(view);
		return false;
	}
	if (error == 0)
		return objects_hold_and_write(call, &view->resource,
					      options.lifetime, NULL);
	map_unref(view);
	return views_write_error(call, error);
}

bool type_functions_types(struct call *call)
{
	struct types_plans *plans = NULL;
	int error;

	if (!call_read_map(call, call->args[0]))
		return false;
	error = views_plans_of(call, call->map, &plans);
	if (error != 0)
		return views_write_error(call, error);
	views_write_layouts(call, plans);
	types_plans_unref(plans);
	return true;
}
