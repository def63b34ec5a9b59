/* SPDX-License-Identifier: Apache-2.0 */
/* From what a load has made to handles and pins: all of them, or none. */
#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/program.h"
#include "call/loaded.h"
#include "call/locators.h"
#include "call/objects.h"
#include "call/pinning.h"
#include "handles/audit.h"

/* --- Pins ----------------------------------------------------------------- */

/* The name comes from an object: it is one in that folder, and no way. */
static int make_path(char path[PATH_MAX], const char *folder, const char *name)
{
	if (strchr(name, '/') || *name == '.')
		return -EINVAL;
	return snprintf(path, PATH_MAX, "%s/%s", folder, name) < PATH_MAX
		       ? 0
		       : -ENAMETOOLONG;
}

bool loaded_open_pin(struct call *call, const char *folder, const char *name,
		     struct map **map, int *error)
{
	char path[PATH_MAX];

	*map = NULL;
	*error = make_path(path, folder, name);
	if (*error == 0 && !locators_open_pinned(call, path, 0, map, error))
		return false;
	if (*error == -ENOENT)
		*error = 0;
	return true;
}

/* A pin of that name that somebody else has just made is EEXIST. */
static bool pin_all(struct call *call, struct loaded *loaded,
		    const char *folder, int *error)
{
	char path[PATH_MAX];

	for (size_t i = 0; i < loaded->map_count; i++) {
		struct loaded_map *map = &loaded->maps[i];

		if (!map->asks_pin)
			continue;
		*error = make_path(path, folder, map->name);
		if (*error == 0 &&
		    !pinning_pin_at(call, path, &map->map->resource, error))
			return false;
		if (*error < 0)
			break;
		map->pinned = true;
	}
	return true;
}

static void unpin_all(struct call *call, struct loaded *loaded,
		      const char *folder)
{
	char path[PATH_MAX];
	int error;

	for (size_t i = 0; i < loaded->map_count; i++) {
		struct loaded_map *map = &loaded->maps[i];

		if (map->pinned && make_path(path, folder, map->name) == 0)
			pinning_unpin_at(call, path, &map->map->resource,
					 &error);
		map->pinned = false;
	}
}

/* --- Handles -------------------------------------------------------------- */

/* How handles are made, and how many have been. */
struct holding {
	struct call *call;
	enum handles_lifetime lifetime;
	struct handles_reservation *reservation;
	size_t watched; /* by the call, before */
	size_t programs;
	size_t maps; /* with those that are given */
	int error;
};

/* The caller keeps its own reference: others may end the handle at once. */
static bool hold(struct holding *holding, struct resource *resource,
		 erlang_ref *ref)
{
	holding->error =
		objects_hold(holding->call, resource_ref(resource),
			     holding->lifetime, holding->reservation, ref);
	return holding->error == 0;
}

static void end(const struct holding *holding, const erlang_ref *ref)
{
	const struct call_context *context = holding->call->context;
	struct handles_process process = { .pid = NULL };

	handles_close(context->common->handles, context->owner, ref, false,
		      &process);
	free(process.pid);
}

static bool is_held(const struct loaded_map *map)
{
	return map->given.size == 0;
}

static size_t hold_programs(struct holding *holding, struct loaded *loaded)
{
	size_t i = 0;

	while (i < loaded->program_count &&
	       hold(holding, &loaded->programs[i].program->resource,
		    &loaded->programs[i].ref))
		i++;
	return i;
}

static size_t hold_maps(struct holding *holding, struct loaded *loaded)
{
	size_t i = 0;

	while (i < loaded->map_count &&
	       (!is_held(&loaded->maps[i]) ||
		hold(holding, &loaded->maps[i].map->resource,
		     &loaded->maps[i].ref)))
		i++;
	return i;
}

static void hold_all(struct holding *holding, struct loaded *loaded)
{
	holding->programs = hold_programs(holding, loaded);
	if (holding->error == 0)
		holding->maps = hold_maps(holding, loaded);
}

static void end_all(const struct holding *holding, const struct loaded *loaded)
{
	for (size_t i = 0; i < holding->programs; i++)
		end(holding, &loaded->programs[i].ref);
	for (size_t i = 0; i < holding->maps; i++)
		if (is_held(&loaded->maps[i]))
			end(holding, &loaded->maps[i].ref);
	holding->call->watched_count = holding->watched;
}

static void audit_programs(const struct loaded *loaded)
{
	const struct audit audit = { .event = "loaded",
				     .handle = AUDIT_NO_HANDLE };

	for (size_t i = 0; i < loaded->program_count; i++)
		audit_resource(audit, &loaded->programs[i].program->resource);
}

bool loaded_hold(struct call *call, struct loaded *loaded,
		 const struct load_options *options,
		 struct handles_reservation *reservation, int *error)
{
	struct holding holding = { .call = call,
				   .lifetime = options->lifetime,
				   .reservation = reservation,
				   .watched = call->watched_count };
	bool good = true;

	/* pins come last: to take one back may take memory */
	hold_all(&holding, loaded);
	*error = holding.error;
	if (*error == 0 && options->pin[0])
		good = pin_all(call, loaded, options->pin, error);
	if (good && *error == 0) {
		audit_programs(loaded);
		return true;
	}
	unpin_all(call, loaded, options->pin);
	end_all(&holding, loaded);
	return good;
}
