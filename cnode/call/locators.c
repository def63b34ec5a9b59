/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens a map by its id, its name or the path of a pin. Does not know whether
 * it is for a handle or for one call.
 */
#include "call/locators.h"

#include <errno.h>
#include <linux/bpf.h>
#include <string.h>

#include "call/map_options.h"
#include "call/pinning.h"
#include "call/refusal.h"
#include "host/pin_path.h"
#include "limits/map_memory.h"

bool locators_is(struct term t)
{
	struct term pair[2];

	return term_tuple_of(t, pair, 2) &&
	       (term_is_atom(pair[0], "id") || term_is_atom(pair[0], "name") ||
		term_is_atom(pair[0], "pinned"));
}

/* --- By name ------------------------------------------------------------ */

/* -ENOENT also if a security module forbids reading the map. */
static int open_to_look(struct map_memory *memory, uint32_t id,
			struct map **map, struct map_info *info)
{
	int error = map_memory_open_id(memory, id, BPF_F_RDONLY, map);

	if (error == -EPERM || error == -EACCES)
		return -ENOENT;
	if (error < 0)
		return error;
	error = map_get_info(*map, info);
	if (error < 0) /* not skipped: it may be the map with that name */
		map_unref(*map);
	return error;
}

/* The only map of that name, opened read-only. */
static int find_named(const struct call_context *context, const char *name,
		      struct map **found)
{
	struct map_info info;
	struct map *map;
	uint32_t id = 0;
	int error;

	*found = NULL;
	while ((error = map_next_id(&id)) == 0) {
		error = atomic_load(context->stopped)
				? -ECANCELED
				: open_to_look(context->common->map_memory, id,
					       &map, &info);
		if (error == -ENOENT) /* gone meanwhile */
			continue;
		if (error < 0)
			break;
		if (strcmp(info.name, name) != 0) {
			map_unref(map);
		} else if (*found) {
			map_unref(map);
			error = LOCATORS_AMBIGUOUS;
			break;
		} else {
			*found = map;
		}
	}
	if (*found && error == -ENOENT)
		return 0;
	map_unref(*found);
	return error;
}

/* The id cannot be reused while the map found is open. */
static int open_named(const struct call_context *context, const char *name,
		      uint32_t flags, struct map **map)
{
	struct map *found;
	int error = find_named(context, name, &found);

	if (error != 0)
		return error;
	if (flags == BPF_F_RDONLY) {
		*map = found;
		return 0;
	}
	error = map_open_id(found->resource.id, flags, map);
	map_unref(found);
	return error;
}

/* --- All ---------------------------------------------------------------- */

bool locators_open_pinned(struct call *call, const char *text, uint32_t flags,
			  struct map **map, int *error)
{
	const struct root *root = &call->context->common->pin_root;
	struct pin_path path;

	*error = pin_path_open(&path, root, text);
	if (pinning_refused(call, &path, text, *error))
		return false;
	if (*error == 0)
		*error = map_memory_open_pinned(
			call->context->common->map_memory, path.text, flags,
			map);
	pin_path_close(&path);
	return true;
}

bool locators_open(struct call *call, struct term t, uint32_t flags,
		   struct map **map, int *error)
{
	char name[MAP_NAME_SIZE], path[PATH_MAX];
	bool valid;
	struct term pair[2];
	uint32_t id;

	if (!term_tuple_of(t, pair, 2))
		return raise_reason(call, RAISED_BADARG);
	if (term_is_atom(pair[0], "id")) {
		if (!term_read_uint32(pair[1], &id))
			return raise_reason(call, RAISED_BADARG);
		*error = map_memory_open_id(call->context->common->map_memory,
					    id, flags, map);
	} else if (term_is_atom(pair[0], "pinned")) {
		return call_read_path(call, pair[1], path) &&
		       locators_open_pinned(call, path, flags, map, error);
	} else if (term_is_atom(pair[0], "name")) {
		if (!map_options_read_name(pair[1], name, &valid))
			return raise_reason(call, RAISED_BADARG);
		*error = valid && name[0]
				 ? open_named(call->context, name, flags, map)
				 : -ENOENT;
	} else {
		return raise_reason(call, RAISED_BADARG);
	}
	return *error != -EPERM || raise_errno(call, *error);
}

bool locators_read(struct call *call, struct term t, uint32_t flags,
		   struct map **map)
{
	int error = 0;

	if (!locators_open(call, t, flags, map, &error))
		return false;
	if (error == LOCATORS_AMBIGUOUS)
		return raise_reason(call, RAISED_AMBIGUOUS);
	return error == 0 || raise_errno(call, error);
}
