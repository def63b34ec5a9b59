/* SPDX-License-Identifier: Apache-2.0 */
/* Pins of objects. Only opening a pin tells what it is of. */
#include "bpf/pins.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/map.h"
#include "bpf/resource_pin.h"
#include "host/bpf_fs.h"

/* --- Visit --------------------------------------------------------------- */

struct visitor {
	pins_visitor visit;
	void *context;
};

static int open_pin(void *context, const char *path)
{
	const struct visitor *visitor = context;
	struct map *map;
	/* a read-only file system allows only this */
	int error = map_open_pinned(path, BPF_F_RDONLY, &map);

	if (error < 0) /* a program or a link, or already removed */
		return bpf_fs_shortage(error);
	error = visitor->visit(map, visitor->context);
	map_unref(map);
	return error;
}

int pins_each(pins_visitor visit, void *context)
{
	struct visitor visitor = { visit, context };

	return bpf_fs_walk(open_pin, &visitor);
}

/* --- Find ---------------------------------------------------------------- */

struct search {
	struct pins *pins;
	size_t capacity;
	const struct resource_kind *kind;
	uint32_t only; /* id; 0: any */
	const atomic_bool *stopped;
};

static int add(struct search *search, uint32_t id, const char *path)
{
	struct pins *pins = search->pins;
	size_t capacity = search->capacity;
	struct pin *list = pins->list;

	if (pins->count == capacity) {
		capacity = capacity > 0 ? 2 * capacity : 16;
		list = realloc(list, capacity * sizeof(*list));
		if (!list)
			return -ENOMEM;
		pins->list = list;
		search->capacity = capacity;
	}
	list += pins->count;
	list->id = id;
	list->path = strdup(path);
	if (!list->path)
		return -ENOMEM;
	pins->count++;
	return 0;
}

static int find_pin(void *context, const char *path)
{
	struct search *search = context;
	uint32_t id;
	int error;

	if (atomic_load_explicit(search->stopped, memory_order_relaxed))
		return -ECANCELED;
	error = resource_pinned_id(search->kind, path, search->only, &id);
	if (error < 0) /* of another kind, another object, or removed */
		return bpf_fs_shortage(error);
	return add(search, id, path);
}

static int by_id(const void *a, const void *b)
{
	uint32_t left = ((const struct pin *)a)->id;
	uint32_t right = ((const struct pin *)b)->id;

	return (left > right) - (left < right);
}

static int find(struct pins *pins, struct search *search)
{
	int error;

	memset(pins, 0, sizeof(*pins));
	search->pins = pins;
	error = bpf_fs_walk(find_pin, search);
	if (error < 0)
		pins_free(pins);
	else if (pins->count > 0)
		qsort(pins->list, pins->count, sizeof(*pins->list), by_id);
	return error == -ECANCELED ? error : bpf_fs_shortage(error);
}

int pins_find(struct pins *pins, const struct resource_kind *kind,
	      const atomic_bool *stopped)
{
	struct search search = { .kind = kind, .stopped = stopped };

	return find(pins, &search);
}

int pins_find_of(struct pins *pins, const struct resource *resource,
		 const atomic_bool *stopped)
{
	struct search search = { .kind = resource->kind,
				 .only = resource->id,
				 .stopped = stopped };

	return find(pins, &search);
}

const struct pin *pins_of(const struct pins *pins, uint32_t id, size_t *count)
{
	size_t low = 0, high = pins->count, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (pins->list[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	*count = 0;
	while (low + *count < pins->count && pins->list[low + *count].id == id)
		++*count;
	return *count > 0 ? pins->list + low : NULL;
}

void pins_free(struct pins *pins)
{
	for (size_t i = 0; i < pins->count; i++)
		free(pins->list[i].path);
	free(pins->list);
	memset(pins, 0, sizeof(*pins));
}

/* --- Count --------------------------------------------------------------- */

static int count_pin(void *context, const char *path)
{
	uint32_t *left = context;

	(void)path;
	return --*left == 0;
}

int pins_reach(int root, uint32_t max)
{
	uint32_t left = max;

	return bpf_fs_walk_once(root, count_pin, &left);
}
