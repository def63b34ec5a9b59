/* SPDX-License-Identifier: Apache-2.0 */
/* The maps of an object: their names, their sizes, others in their place. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "loader/job_errors.h"
#include "loader/job_object.h"

/* --- Names -------------------------------------------------------------- */

static const char *name_of(const struct bpf_object *object,
			   const struct bpf_map *map)
{
	static const char *const sections[] = { ".bss", ".data", ".rodata",
						".kconfig" };

	for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++)
		if (bpf_object__find_map_by_name(object, sections[i]) == map)
			return sections[i];
	return bpf_map__name(map);
}

static bool read_one(struct job_object *object, struct bpf_map *map,
		     struct job_map *read)
{
	*read = (struct job_map){
		.map = map,
		.name = strdup(name_of(object->object, map)),
		.internal = bpf_map__is_internal(map),
		.asks_pin = bpf_map__pin_path(map) != NULL,
	};
	if (!read->name || bpf_map__set_pin_path(map, NULL) < 0)
		return job_errors_posix(object->answer, ENOMEM);
	return true;
}

bool job_maps_read(struct job_object *object)
{
	struct bpf_map *map;
	size_t count = 0;

	bpf_object__for_each_map(map, object->object) count++;
	object->maps = calloc(count + 1, sizeof(*object->maps));
	if (!object->maps)
		return job_errors_posix(object->answer, ENOMEM);
	bpf_object__for_each_map(map, object->object) if (
		!read_one(object, map,
			  &object->maps[object->map_count++])) return false;
	return true;
}

struct job_map *job_maps_find(const struct job_object *object, const char *name)
{
	for (size_t i = 0; name && i < object->map_count; i++)
		if (strcmp(object->maps[i].name, name) == 0)
			return &object->maps[i];
	return NULL;
}

/* --- Sizes -------------------------------------------------------------- */

static struct job_map *find(struct job_object *object,
			    const struct record *record)
{
	struct job_map *map = job_maps_find(object, record->name);

	if (!map)
		job_errors_badarg(object->answer, "the object has no map %s",
				  record->name ? record->name : "");
	return map;
}

/* A number for a map, of which the object's variables determine the size. */
static struct job_map *find_to_resize(struct job_object *object,
				      const struct record *record)
{
	struct job_map *map = find(object, record);

	if (map && !map->internal && record->number <= UINT32_MAX)
		return map;
	if (map)
		job_errors_badarg(
			object->answer,
			map->internal ? "map %s has the size of its section"
				      : "the size of map %s is out of range",
			map->name);
	return NULL;
}

bool job_maps_set_max_entries(struct job_object *object,
			      const struct record *record)
{
	struct job_map *map = find_to_resize(object, record);

	return map && bpf_map__set_max_entries(map->map,
					       (uint32_t)record->number) == 0;
}

bool job_maps_set_value_size(struct job_object *object,
			     const struct record *record)
{
	struct job_map *map = find_to_resize(object, record);

	return map &&
	       bpf_map__set_value_size(map->map, (uint32_t)record->number) == 0;
}

/* --- Other maps in their place ------------------------------------------ */

/* libbpf compares nothing. */
static const char *find_difference(const struct bpf_map *map,
				   const struct bpf_map_info *info)
{
	uint32_t entries = bpf_map__max_entries(map);

	if (info->type != (uint32_t)bpf_map__type(map))
		return "type";
	if (info->key_size != bpf_map__key_size(map))
		return "key_size";
	if (info->value_size != bpf_map__value_size(map))
		return "value_size";
	/* of a perf_event_array libbpf sets it later */
	if (entries > 0 && info->max_entries != entries)
		return "max_entries";
	return info->map_flags == bpf_map__map_flags(map) ? NULL : "flags";
}

static bool replace(struct job_object *object, struct job_map *map, int fd)
{
	struct bpf_map_info info = { 0 };
	uint32_t size = sizeof(info);
	const char *difference;
	int error = bpf_obj_get_info_by_fd(fd, &info, &size);

	if (error < 0)
		return job_errors_posix(object->answer, -error);
	difference = find_difference(map->map, &info);
	if (difference)
		return job_errors_badarg(object->answer,
					 "the map for %s has another %s",
					 map->name, difference);
	error = bpf_map__reuse_fd(map->map, fd);
	map->reused = error == 0;
	return error == 0 || job_errors_libbpf(object->answer, -error);
}

bool job_maps_reuse(struct job_object *object, const struct record *record)
{
	struct job_map *map = find(object, record);

	if (!map)
		return false;
	if (record->fd >= object->job->fd_count)
		return job_errors_posix(object->answer, EPROTO);
	return replace(object, map, object->job->fds[record->fd]);
}
