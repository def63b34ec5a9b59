/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handles of maps that are values of another map, which gives but their ids:
 * one that is there already, or a new one that all who read it share.
 */
#include "call/inner_maps.h"

#include <errno.h>
#include <linux/bpf.h>

#include "call/objects.h"
#include "limits/map_memory.h"

static int find_live(struct call *call, uint32_t id, bool restricted,
		     bool is_view, erlang_ref *ref)
{
	struct call_context *context = call->context;
	const struct handles_wanted wanted = { .kind = &map_kind,
					       .id = id,
					       .restricted = restricted,
					       .is_view = is_view };

	return handles_find(context->common->handles, context->owner, &wanted,
			    ref);
}

/* Makes a shared handle for a map, whose reference it takes over. */
static int add_shared(struct call *call, struct map *map, erlang_ref *ref)
{
	struct call_context *context = call->context;
	int error = handles_add_shared(context->common->handles, context->owner,
				       &map->resource, ref);
	if (error < 0)
		map_unref(map);
	return error;
}

static int open_shared(struct call *call, uint32_t id, uint32_t flags,
		       erlang_ref *ref)
{
	struct map *map;
	int error = map_memory_open_id(call->context->common->map_memory, id,
				       flags, &map);

	return error < 0 ? error : add_shared(call, map, ref);
}

/* Of a map that may not be opened by its id, but is open as a view. */
static int share_viewed(struct call *call, uint32_t id, bool restricted,
			erlang_ref *ref)
{
	int error = find_live(call, id, restricted, true, ref);
	struct map *view =
		error == 0 ? map_of(objects_get(call, ref, &map_kind)) : NULL;
	struct map *map;

	if (!view)
		return -EPERM;
	error = map_memory_open_view(call->context->common->map_memory, view,
				     &map);
	map_unref(view);
	return error < 0 ? error : add_shared(call, map, ref);
}

/*
 * A restricted handle is only used if there can be no other: the map may not be
 * opened by its id, or a security module allows only reading.
 */
static int share_restricted(struct call *call, uint32_t id, erlang_ref *ref)
{
	int error = find_live(call, id, true, false, ref);

	if (error != -ENOENT)
		return error;
	error = open_shared(call, id, BPF_F_RDONLY, ref);
	if (error == -EPERM)
		error = share_viewed(call, id, false, ref);
	return error == -EPERM ? share_viewed(call, id, true, ref) : error;
}

int inner_maps_share(struct call *call, uint32_t id, erlang_ref *ref)
{
	int error = find_live(call, id, false, false, ref);

	if (error != -ENOENT)
		return error;
	error = open_shared(call, id, 0, ref);
	return error == -EPERM || error == -EACCES
		       ? share_restricted(call, id, ref)
		       : error;
}
