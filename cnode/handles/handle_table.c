/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reference -> handle. A reference names a slot in a table and carries 64
 * random bits that must be those of the handle now in that slot:
 *
 *	n[0] slot   n[1], n[2] random
 *
 * The id of a kernel object selects the bucket of all its handles.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "handles/handles_internal.h"

#define REF_WORDS 3
#define FIRST_SLOTS 64
#define NO_SLOT UINT32_MAX
#define RESERVED (UINT32_MAX - 1) /* in place of the next free one */

void handle_table_init(struct handle_table *t, const char *node,
		       uint32_t creation, uint32_t max)
{
	memset(t, 0, sizeof(*t));
	strncpy(t->node, node, sizeof(t->node) - 1);
	t->creation = creation;
	t->max = max;
	t->first_free = NO_SLOT;
}

static bool grow(struct handle_table *t)
{
	uint32_t slots = t->slots ? t->slots * 2 : FIRST_SLOTS;
	uint32_t most = t->max + t->spare < HANDLES_MAX ? t->max + t->spare
							: HANDLES_MAX;
	struct handle_slot *table;

	if (slots > most)
		slots = most;
	if (slots <= t->slots)
		return false;
	table = realloc(t->table, slots * sizeof(*table));
	if (!table)
		return false;
	for (uint32_t i = slots; i-- > t->slots;) {
		table[i] = (struct handle_slot){ .next_free = t->first_free };
		t->first_free = i;
	}
	t->table = table;
	t->slots = slots;
	return true;
}

struct handle_bucket *handle_table_bucket(struct handle_table *t, uint32_t id)
{
	return &t->buckets[id % HANDLE_BUCKETS];
}

struct handle *handle_table_add(struct handle_table *t,
				const struct handle *new)
{
	struct handle *handle = malloc(sizeof(*handle));
	struct handle_slot *slot;

	if (!handle || (t->first_free == NO_SLOT && !grow(t))) {
		free(handle);
		return NULL;
	}
	*handle = *new;
	handle->slot = t->first_free;
	slot = &t->table[handle->slot];
	slot->handle = handle;
	t->first_free = slot->next_free;
	LIST_INSERT_HEAD(handle_table_bucket(t, handle->resource->id), handle,
			 of_bucket);
	t->used[handle->resource->kind->class]++;
	return handle;
}

/* --- Handles of before the start ------------------------------------------ */

bool handle_table_has(const struct handle_table *t, uint32_t slot)
{
	return slot < t->slots &&
	       (t->table[slot].handle || t->table[slot].next_free == RESERVED);
}

static bool reach(struct handle_table *t, uint32_t slot)
{
	uint32_t slots = t->slots > 0 ? t->slots : FIRST_SLOTS;
	struct handle_slot *table;

	if (slot < t->slots)
		return true;
	while (slots <= slot)
		slots *= 2;
	table = realloc(t->table, slots * sizeof(*table));
	if (!table)
		return false;
	memset(table + t->slots, 0, (slots - t->slots) * sizeof(*table));
	t->table = table;
	t->slots = slots;
	return true;
}

struct handle *handle_table_put(struct handle_table *t,
				const struct handle *new, uint32_t slot)
{
	uint32_t before = t->first_free;
	struct handle *handle;

	if (!reach(t, slot))
		return NULL;
	t->first_free = slot;
	handle = handle_table_add(t, new);
	t->first_free = before;
	return handle;
}

int handle_table_reserve(struct handle_table *t, uint32_t slot)
{
	if (!reach(t, slot))
		return -ENOMEM;
	t->table[slot].next_free = RESERVED;
	return 0;
}

void handle_table_link(struct handle_table *t)
{
	uint32_t taken = 0;

	t->first_free = NO_SLOT;
	for (uint32_t slot = t->slots; slot-- > 0;) {
		if (handle_table_has(t, slot)) {
			taken++;
			continue;
		}
		t->table[slot].next_free = t->first_free;
		t->first_free = slot;
	}
	t->spare = taken;
}

void handle_table_remove(struct handle_table *t, struct handle *handle)
{
	t->table[handle->slot] =
		(struct handle_slot){ .next_free = t->first_free };
	t->first_free = handle->slot;
	t->used[handle->resource->kind->class]--;
	LIST_REMOVE(handle, of_bucket);
}

struct handle *handle_table_find(const struct handle_table *t,
				 const erlang_ref *ref)
{
	struct handle *handle;

	if (ref->len != REF_WORDS || ref->creation != t->creation ||
	    ref->n[0] >= t->slots || strcmp(ref->node, t->node) != 0)
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
	ref->n[0] = handle->slot;
	ref->n[1] = handle->random[0];
	ref->n[2] = handle->random[1];
}
