/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who holds handles: incarnations of nodes that come, go, and are waited for.
 * That an owner holds a handle is a holding, and with the last one the handle
 * ends.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "handles_internal.h"

/* --- What they hold ----------------------------------------------------- */

int handle_owners_hold(struct handles_owner *owner, struct handle *handle)
{
	struct holding *holding = calloc(1, sizeof(*holding));

	if (!holding)
		return -ENOMEM;
	holding->handle = handle;
	holding->owner = owner;
	LIST_INSERT_HEAD(&owner->holdings, holding, of_owner);
	LIST_INSERT_HEAD(&handle->holdings, holding, of_handle);
	owner->quota->handles++;
	return 0;
}

bool handle_owners_hold_it(const struct handles_owner *owner,
			   const struct handle *handle)
{
	const struct holding *holding;

	LIST_FOREACH(holding, &handle->holdings, of_handle)
	if (holding->owner == owner)
		return true;
	return false;
}

static void free_holding(struct holding *holding)
{
	LIST_REMOVE(holding, of_handle);
	LIST_REMOVE(holding, of_owner);
	holding->owner->quota->handles--;
	free(holding);
}

void handle_owners_end_handle(struct handles *h, struct handle *handle,
			      struct ended_handles *ended)
{
	struct holding *holding;

	while ((holding = LIST_FIRST(&handle->holdings)))
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): as below */
		free_holding(holding);
	if (handle->maker)
		handle->maker->handles--;
	quotas_close(handle->maker);
	handle_table_remove(&h->table, handle);
	SLIST_INSERT_HEAD(ended, handle, ended);
}

void handle_owners_free_ended(struct ended_handles *ended)
{
	struct handle *handle;

	while ((handle = SLIST_FIRST(ended))) {
		SLIST_REMOVE_HEAD(ended, ended);
		map_unref(handle->map);
		free(handle->process);
		free(handle);
	}
}

static void end_owner(struct handles *h, struct handles_owner *owner,
		      struct ended_handles *ended)
{
	struct holding *holding;
	struct handle *handle;

	owner->ended = true;
	while ((holding = LIST_FIRST(&owner->holdings))) {
		/* the analyzer does not see that it is out of the list */
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
		handle = holding->handle;
		free_holding(holding);
		if (LIST_EMPTY(&handle->holdings))
			handle_owners_end_handle(h, handle, ended);
	}
}

/* --- How they come and go ----------------------------------------------- */

/* Those that have ended and that no connection points to any more. */
static void free_ended_owners(struct handles *h)
{
	struct handles_owner *owner = LIST_FIRST(&h->owners), *next;

	for (; owner; owner = next) {
		next = LIST_NEXT(owner, others);
		if (owner->ended && owner->connections == 0) {
			LIST_REMOVE(owner, others);
			quotas_close(owner->quota);
			free(owner);
		}
	}
}

static struct handles_owner *new_owner(struct handles *h, const char *name,
				       uint32_t creation)
{
	struct handles_owner *owner = calloc(1, sizeof(*owner));

	if (owner)
		owner->quota = quotas_open(&h->quotas, name);
	if (!owner || !owner->quota) {
		free(owner);
		return NULL;
	}
	strncpy(owner->name, name, sizeof(owner->name) - 1);
	owner->creation = creation;
	LIST_INIT(&owner->holdings);
	LIST_INSERT_HEAD(&h->owners, owner, others);
	return owner;
}

struct handles_owner *handles_owner_up(struct handles *h, const char *name,
				       uint32_t creation)
{
	struct ended_handles ended = SLIST_HEAD_INITIALIZER(ended);
	struct handles_owner *owner, *same = NULL;

	pthread_rwlock_wrlock(&h->lock);
	LIST_FOREACH(owner, &h->owners, others)
	{
		if (strcmp(owner->name, name) != 0)
			continue;
		if (owner->creation != creation)
			end_owner(h, owner, &ended);
		else if (!owner->ended)
			same = owner;
	}
	if (!same)
		same = new_owner(h, name, creation);
	if (same)
		same->connections++;
	free_ended_owners(h);
	pthread_rwlock_unlock(&h->lock);
	handle_owners_free_ended(&ended);
	return same;
}

void handles_owner_down(struct handles *h, struct handles_owner *owner)
{
	pthread_rwlock_wrlock(&h->lock);
	owner->connections--;
	owner->deadline = clock_ms() + h->grace;
	if (owner->connections == 0 && LIST_EMPTY(&owner->holdings))
		owner->ended = true;
	free_ended_owners(h);
	pthread_rwlock_unlock(&h->lock);
}

int handles_reap(struct handles *h)
{
	int64_t now = clock_ms(), next = -1, left;
	struct ended_handles ended = SLIST_HEAD_INITIALIZER(ended);
	struct handles_owner *owner;

	pthread_rwlock_wrlock(&h->lock);
	LIST_FOREACH(owner, &h->owners, others)
	{
		if (owner->connections > 0)
			continue;
		left = owner->deadline - now;
		if (left <= 0)
			end_owner(h, owner, &ended);
		else if (next < 0 || left < next)
			next = left;
	}
	free_ended_owners(h);
	pthread_rwlock_unlock(&h->lock);
	handle_owners_free_ended(&ended);
	return next > INT32_MAX ? INT32_MAX : (int)next;
}
