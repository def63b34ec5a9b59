/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handles of before the start. Limits do not count here: what was there is
 * there, and new ones have to wait until there is room.
 *
 * It is done by one thread, before the first node connects: without the lock.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "handles/handles_internal.h"

void handles_restore_begin(struct handles *h, uint32_t creation)
{
	h->table.creation = creation;
}

/* --- Owners --------------------------------------------------------------- */

/* As there were at the end: of all that are found, none ends another. */
static struct handles_owner *owner_of(struct handles *h, const char *name,
				      uint32_t creation)
{
	struct holder *holder = holders_open(&h->holders, name);
	struct handles_owner *owner;

	if (!holder)
		return NULL;
	LIST_FOREACH(owner, &holder->owners, of_name)
	if (owner->creation == creation)
		break;
	if (!owner)
		owner = handle_owners_new(holder, creation);
	holders_close(holder);
	return owner;
}

static int hold(struct handles *h, struct handle *handle,
		const struct handles_kept *kept, uint32_t record)
{
	struct handles_owner *owner = owner_of(h, kept->owner, kept->creation);
	int error;

	if (!owner)
		return -ENOMEM;
	if (handle_owners_hold_it(owner, handle))
		return -EEXIST;
	error = handle_owners_hold(h, owner, handle);
	if (error == 0)
		LIST_FIRST(&handle->holdings)->record = record;
	return error;
}

static int restore_owner(struct handles *h, struct handle *handle,
			 const struct handles_kept *kept)
{
	if (handle->shared)
		return 0;
	if (handle->lifetime != HANDLES_PERMANENT)
		return hold(h, handle, kept, 0);
	handle->creator = holders_open(&h->holders, kept->owner);
	if (!handle->creator)
		return -ENOMEM;
	handle->creator->handles[handle->resource->kind->class]++;
	return 0;
}

/* --- Handles -------------------------------------------------------------- */

static struct handle *add(struct handles *h, const struct handles_kept *kept,
			  struct resource *resource)
{
	struct handle new = {
		.resource = resource,
		.random = { kept->random[0], kept->random[1] },
		.lifetime = kept->lifetime,
		.shared = kept->shared,
		.record = kept->record,
		.pins = kept->pins,
		.part = kept->part,
		.process_size = kept->process_size,
	};
	struct handle *handle;

	if (kept->process_size > 0) {
		new.process = malloc(kept->process_size);
		if (!new.process)
			return NULL;
		memcpy(new.process, kept->process, kept->process_size);
	}
	handle = handle_table_put(&h->table, &new, kept->slot);
	if (!handle)
		free(new.process);
	return handle;
}

/*
 * A record that is written anew is there twice for a moment, as the process may
 * be killed. 1: it is of the handle that is there.
 */
static int restore_again(struct handles *h, const struct handles_kept *kept)
{
	struct handle *handle = h->table.table[kept->slot].handle;
	uint32_t other = kept->record;

	if (!handle || handle->random[0] != kept->random[0] ||
	    handle->random[1] != kept->random[1])
		return -EEXIST;
	if (kept->taken_out) {
		handle_idle_remove(h, handle);
		other = handle->record;
		handle->record = kept->record;
	}
	state_drop(h->keeper.state, other);
	return 1;
}

int handles_restore(struct handles *h, const struct handles_kept *kept,
		    struct resource *resource)
{
	struct handle *handle;
	int error;

	if (handle_table_has(&h->table, kept->slot))
		return restore_again(h, kept);
	handle = add(h, kept, resource);
	if (!handle)
		return -ENOMEM;
	error = restore_owner(h, handle, kept);
	if (error < 0) {
		handle_table_remove(&h->table, handle);
		free(handle->process);
		free(handle);
		return error;
	}
	if (handle->shared && !kept->taken_out)
		handle_idle_add(h, handle);
	return 0;
}

/* It counts as before, for good: it cannot be closed. */
int handles_restore_reserve(struct handles *h, const struct handles_kept *kept,
			    enum resource_class class)
{
	struct holder *holder =
		kept->owner[0] ? holders_open(&h->holders, kept->owner) : NULL;
	int error = handle_table_reserve(&h->table, kept->slot);

	if (error == 0)
		h->table.used[class]++;
	if (error == 0 && holder)
		holder->handles[class]++;
	else
		holders_close(holder);
	return error;
}

int handles_restore_holding(struct handles *h, const struct handles_kept *kept)
{
	struct handle *handle = kept->slot < h->table.slots
					? h->table.table[kept->slot].handle
					: NULL;

	if (!handle || !handle->shared ||
	    handle->random[0] != kept->random[0] ||
	    handle->random[1] != kept->random[1])
		return -ENOENT;
	return hold(h, handle, kept, kept->record);
}

/* --- The end -------------------------------------------------------------- */

/* A shared handle that was made, and that nobody came to hold. */
static void end_unheld(struct handles *h)
{
	struct ended_handles ended = { .event = NULL };
	struct handle *handle;

	for (uint32_t slot = 0; slot < h->table.slots; slot++) {
		handle = h->table.table[slot].handle;
		if (handle && handle->shared && LIST_EMPTY(&handle->holdings))
			handle_owners_end_handle(h, handle, &ended);
	}
	handle_owners_free_ended(h, &ended);
}

uint32_t handles_restored(struct handles *h)
{
	struct holder *holder;
	struct handles_owner *owner;
	uint32_t owners = 0;

	handle_table_link(&h->table);
	end_unheld(h);
	for (size_t i = 0; i < HOLDERS_BUCKETS; i++) {
		LIST_FOREACH(holder, &h->holders.buckets[i], entry)
		{
			LIST_FOREACH(owner, &holder->owners, of_name)
			{
				handle_owners_wait(h, owner);
				owners++;
			}
		}
	}
	return owners;
}
