/* SPDX-License-Identifier: Apache-2.0 */
#include "restore/kept_layouts.h"

#include <errno.h>
#include <stdlib.h>

#include "types/layout_read.h"

struct kept_layout {
	uint32_t record;
	int error; /* why there are no plans */
	struct types_plans *plans;
};

struct kept_layouts {
	struct budget *budget;
	struct kept_layout *list; /* by record */
	size_t count;
	size_t capacity;
};

struct kept_layouts *kept_layouts_new(struct budget *budget)
{
	struct kept_layouts *layouts = calloc(1, sizeof(*layouts));

	if (layouts)
		layouts->budget = budget;
	return layouts;
}

void kept_layouts_free(struct kept_layouts *layouts)
{
	for (size_t i = 0; layouts && i < layouts->count; i++)
		types_plans_unref(layouts->list[i].plans);
	if (layouts)
		free(layouts->list);
	free(layouts);
}

/* --- Reading -------------------------------------------------------------- */

/* Of the size that the layout has: the map's is compared with it. */
static int read_layout(struct term t, struct plan **plan)
{
	uint32_t number;

	*plan = NULL;
	return term_read_uint32(t, &number) && number == 0
		       ? 0
		       : layout_read(t, 0, plan);
}

static int read_pair(struct term pair, struct budget *budget,
		     struct types_plans **plans)
{
	struct plan *key, *value = NULL;
	struct term layouts[2];
	int error;

	if (!term_tuple_of(pair, layouts, 2))
		return -EBADMSG;
	error = read_layout(layouts[0], &key);
	if (error == 0)
		error = read_layout(layouts[1], &value);
	if (error < 0) {
		plan_free(key);
		return error == -ENOMEM ? error : -EBADMSG;
	}
	*plans = types_plans_new(key, value, budget);
	return *plans ? 0 : -ENOMEM;
}

static int grow(struct kept_layouts *layouts)
{
	size_t capacity = layouts->capacity > 0 ? 2 * layouts->capacity : 64;
	struct kept_layout *list =
		realloc(layouts->list, capacity * sizeof(*list));

	if (!list)
		return -ENOMEM;
	layouts->list = list;
	layouts->capacity = capacity;
	return 0;
}

int kept_layouts_add(struct kept_layouts *layouts, uint32_t record,
		     struct term pair)
{
	struct kept_layout *layout;

	if (layouts->count == layouts->capacity && grow(layouts) < 0)
		return -ENOMEM;
	layout = &layouts->list[layouts->count++];
	*layout = (struct kept_layout){ .record = record };
	layout->error = read_pair(pair, layouts->budget, &layout->plans);
	return 0;
}

static int compare(const void *a, const void *b)
{
	uint32_t left = ((const struct kept_layout *)a)->record;
	uint32_t right = ((const struct kept_layout *)b)->record;

	return (left > right) - (left < right);
}

int kept_layouts_find(const struct kept_layouts *layouts, uint32_t record,
		      struct types_plans **plans)
{
	const struct kept_layout key = { .record = record };
	const struct kept_layout *found =
		layouts->count == 0
			? NULL
			: bsearch(&key, layouts->list, layouts->count,
				  sizeof(key), compare);

	if (!found)
		return -EBADMSG;
	*plans = found->plans;
	return found->error;
}
