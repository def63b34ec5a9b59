/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reference -> handle. A reference names a place in a table and carries 64
 * random bits that must be those of the handle now in that place:
 *
 *	n[0] place   n[1], n[2] random
 *
 * All handles of one kernel map are in one chain, by its id.
 */
#include <stdlib.h>
#include <string.h>

#include "handles/handles_internal.h"

#define REF_WORDS 3
#define FIRST_PLACES 64
#define NO_PLACE UINT32_MAX

void handle_table_init(struct handle_table *t, const char *node,
		       uint32_t creation, uint32_t max)
{
	memset(t, 0, sizeof(*t));
	strncpy(t->node, node, sizeof(t->node) - 1);
	t->creation = creation;
	t->max = max;
	t->first_free = NO_PLACE;
}

static bool grow(struct handle_table *t)
{
	uint32_t places = t->places ? t->places * 2 : FIRST_PLACES;
	struct handle_place *table;

	if (places > t->max)
		places = t->max;
	table = realloc(t->table, places * sizeof(*table));
	if (!table)
		return false;
	for (uint32_t i = places; i-- > t->places;) {
		table[i] = (struct handle_place){ .next_free = t->first_free };
		t->first_free = i;
	}
	t->table = table;
	t->places = places;
	return true;
}

struct handle_chain *handle_table_chain(struct handle_table *t, uint32_t id)
{
	return &t->chains[id % HANDLE_CHAINS];
}

struct handle *handle_table_add(struct handle_table *t,
				const struct handle *new)
{
	struct handle *handle = malloc(sizeof(*handle));
	struct handle_place *place;

	if (!handle || (t->first_free == NO_PLACE && !grow(t))) {
		free(handle);
		return NULL;
	}
	*handle = *new;
	handle->place = t->first_free;
	place = &t->table[handle->place];
	place->handle = handle;
	t->first_free = place->next_free;
	LIST_INSERT_HEAD(handle_table_chain(t, handle->resource->id), handle,
			 of_chain);
	t->used++;
	return handle;
}

void handle_table_remove(struct handle_table *t, struct handle *handle)
{
	t->table[handle->place] =
		(struct handle_place){ .next_free = t->first_free };
	t->first_free = handle->place;
	t->used--;
	LIST_REMOVE(handle, of_chain);
}

struct handle *handle_table_find(const struct handle_table *t,
				 const erlang_ref *ref)
{
	struct handle *handle;

	if (ref->len != REF_WORDS || ref->creation != t->creation ||
	    ref->n[0] >= t->places || strcmp(ref->node, t->node) != 0)
		return NULL;
	handle = t->table[ref->n[0]].handle;
	if (!handle || handle->random[0] != ref->n[1] ||
	    handle->random[1] != ref->n[2])
		return NULL;
	return handle;
}

void handle_table_make_ref(const struct handle_table *t,
			   const struct handle *handle, erlang_ref *ref)
{
	memset(ref, 0, sizeof(*ref));
	memcpy(ref->node, t->node, sizeof(ref->node));
	ref->creation = t->creation;
	ref->len = REF_WORDS;
	ref->n[0] = handle->place;
	ref->n[1] = handle->random[0];
	ref->n[2] = handle->random[1];
}
