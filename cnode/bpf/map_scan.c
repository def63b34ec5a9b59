/* SPDX-License-Identifier: Apache-2.0 */
/* Lists the maps in a map of maps by id. */
#include "bpf/map_scan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define STEP_BYTES ((size_t)64 * 1024)
#define MAX_STEP_BYTES ((size_t)1 << 26) /* if one bucket needs it */

bool map_scan_is_outer(struct resource *resource)
{
	const struct map *map = map_of(resource);

	return map && map->traits & MAP_VALUE_IS_MAP;
}

static size_t entry_size(const struct map_scan *scan)
{
	return scan->map->key_size + sizeof(uint32_t);
}

/* Values come first: malloc aligns them. */
static int allocate(struct map_scan *scan, size_t entries)
{
	char *bytes = malloc(entries * entry_size(scan));

	free(scan->buffer.values);
	scan->buffer.values = bytes;
	if (!bytes)
		return -ENOMEM;
	scan->ids = (const uint32_t *)(const void *)bytes;
	scan->buffer.keys = bytes + entries * sizeof(uint32_t);
	scan->buffer.entries = (uint32_t)entries;
	return 0;
}

/* Doubles the buffer, up to exactly the maximum. */
static int grow(struct map_scan *scan)
{
	size_t max = MAX_STEP_BYTES / entry_size(scan);
	size_t entries = (size_t)scan->buffer.entries * 2;

	if (scan->buffer.entries >= max)
		return -ENOBUFS;
	return allocate(scan, entries < max ? entries : max);
}

int map_scan_open(struct map_scan *scan, struct resource *resource,
		  const atomic_bool *stopped)
{
	struct map *map = map_of(resource);
	size_t entries;

	memset(scan, 0, sizeof(*scan));
	scan->map = map;
	scan->walk = (struct map_walk){ .position = MAP_WALK_START,
					.mode = MAP_WALK_READ,
					.stopped = stopped };
	scan->walk.cursor = malloc(map_walk_cursor_size(map, &scan->walk));
	if (!scan->walk.cursor)
		return -ENOMEM;
	entries = STEP_BYTES / entry_size(scan) + 1;
	return allocate(scan, entries < map->max_entries ? entries
							 : map->max_entries);
}

int map_scan_step(struct map_scan *scan)
{
	int64_t n = map_walk_next(scan->map, &scan->walk, &scan->buffer);

	scan->count = n > 0 ? (size_t)n : 0;
	scan->done = n >= 0 && scan->walk.position == MAP_WALK_DONE;
	if (n == -ENOBUFS)
		return grow(scan);
	return n < 0 ? (int)n : 0;
}

void map_scan_close(struct map_scan *scan)
{
	free(scan->walk.cursor);
	free(scan->buffer.values);
	memset(scan, 0, sizeof(*scan));
}
