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
	const struct holding *of_handle = LIST_FIRST(&handle->holdings);
	const struct holding *of_owner = LIST_FIRST(&owner->holdings);

	/* it would stand in both: the shorter one is looked through */
	while (of_handle && of_owner) {
		if (of_handle->owner == owner || of_owner->handle == handle)
			return true;
		of_handle = LIST_NEXT(of_handle, of_handle);
		of_owner = LIST_NEXT(of_owner, of_owner);
	}
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

/* Where it has ended and no connection points to it any more. */
static void free_if_ended(struct handles *h, struct handles_owner *owner)
{
	if (!owner->ended || owner->connections > 0)
		return;
	TAILQ_REMOVE(&h->waiting, owner, waiting);
	LIST_REMOVE(owner, of_name);
	quotas_close(owner->quota);
	free(owner);
}

static struct handles_owner *new_owner(struct handles *h, struct quota *quota,
				       uint32_t creation)
{
	struct handles_owner *owner = calloc(1, sizeof(*owner));

	if (!owner)
		return NULL;
	owner->quota = quotas_ref(quota);
	memcpy(owner->name, quota->node, sizeof(owner->name));
	owner->creation = creation;
	LIST_INIT(&owner->holdings);
	TAILQ_INSERT_TAIL(&h->waiting, owner, waiting);
	LIST_INSERT_HEAD(&quota->owners, owner, of_name);
	return owner;
}

/* Of that name and creation; those of another creation end. NULL: no memory. */
static struct handles_owner *find_or_make(struct handles *h,
					  struct quota *quota,
					  uint32_t creation,
					  struct ended_handles *ended)
{
	struct handles_owner *owner, *next, *same = NULL;

	for (owner = LIST_FIRST(&quota->owners); owner; owner = next) {
		next = LIST_NEXT(owner, of_name);
		if (owner->creation != creation)
			end_owner(h, owner, ended);
		else if (!owner->ended)
			same = owner;
		free_if_ended(h, owner);
	}
	return same ? same : new_owner(h, quota, creation);
}

struct handles_owner *handles_owner_up(struct handles *h, const char *name,
				       uint32_t creation)
{
	struct ended_handles ended = SLIST_HEAD_INITIALIZER(ended);
	struct handles_owner *owner = NULL;
	struct quota *quota;

	pthread_rwlock_wrlock(&h->lock);
	quota = quotas_open(&h->quotas, name);
	if (quota)
		owner = find_or_make(h, quota, creation, &ended);
	if (owner && owner->connections++ == 0)
		TAILQ_REMOVE(&h->waiting, owner, waiting);
	quotas_close(quota);
	pthread_rwlock_unlock(&h->lock);
	handle_owners_free_ended(&ended);
	return owner;
}

/* The grace is the same for all: who has begun to wait last is the last. */
void handles_owner_down(struct handles *h, struct handles_owner *owner)
{
	pthread_rwlock_wrlock(&h->lock);
	if (--owner->connections == 0) {
		owner->deadline = clock_ms() + h->grace;
		TAILQ_INSERT_TAIL(&h->waiting, owner, waiting);
		if (LIST_EMPTY(&owner->holdings))
			owner->ended = true;
	}
	free_if_ended(h, owner);
	pthread_rwlock_unlock(&h->lock);
}

int handles_reap(struct handles *h)
{
	struct ended_handles ended = SLIST_HEAD_INITIALIZER(ended);
	struct handles_owner *owner;
	int64_t now = clock_ms(), left = -1;

	pthread_rwlock_wrlock(&h->lock);
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): it is out of the list */
	while ((owner = TAILQ_FIRST(&h->waiting)) && owner->deadline <= now) {
		end_owner(h, owner, &ended);
		free_if_ended(h, owner);
	}
	if (owner)
		left = owner->deadline - now;
	pthread_rwlock_unlock(&h->lock);
	handle_owners_free_ended(&ended);
	return left > INT32_MAX ? INT32_MAX : (int)left;
}
