/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owners of handles: incarnations of nodes, which connect, disconnect and
 * expire after the grace period. A holding links an owner to a handle; the
 * handle ends with its last holding.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/log.h"
#include "handles/handles_internal.h"

/* Disconnected owners without handles of their own: many, with little to lose.
 */
#define MAX_BORROWERS 4096

/* Freeing this many handles leaves enough holes in the heap to trim it. */
#define MANY 1000

#define SHORT_LIFE_MS 1000
#define SHORT_LIVES 3

/* --- Waiting for the deadline ------------------------------------------- */

/* Searches from the tail: all have the same grace, so new ones go last. */
static void wait_for(struct handles *h, struct handles_owner *owner)
{
	struct wait_queue *queue =
		owner->own > 0 ? &h->creators : &h->borrowers;
	struct handles_owner *before = TAILQ_LAST(&queue->owners, wait_list);

	while (before && before->deadline > owner->deadline)
		before = TAILQ_PREV(before, wait_list, waiting);
	if (before)
		TAILQ_INSERT_AFTER(&queue->owners, before, owner, waiting);
	else
		TAILQ_INSERT_HEAD(&queue->owners, owner, waiting);
	queue->length++;
	owner->queue = queue;
}

static void stop_waiting(struct handles_owner *owner)
{
	TAILQ_REMOVE(&owner->queue->owners, owner, waiting);
	owner->queue->length--;
	owner->queue = NULL;
}

static enum resource_class class_of(const struct handle *handle)
{
	return handle->resource->kind->class;
}

/* --- Holdings ----------------------------------------------------------- */

int handle_owners_hold(struct handles *h, struct handles_owner *owner,
		       struct handle *handle)
{
	struct holding *holding = calloc(1, sizeof(*holding));

	if (!holding)
		return -ENOMEM;
	holding->handle = handle;
	holding->owner = owner;
	owner->own += !handle->shared;
	LIST_INSERT_HEAD(&owner->holdings, holding, of_owner);
	LIST_INSERT_HEAD(&handle->holdings, holding, of_handle);
	owner->holder->handles[class_of(handle)]++;
	h->holdings++;
	return 0;
}

bool handle_owners_hold_it(const struct handles_owner *owner,
			   const struct handle *handle)
{
	const struct holding *of_handle = LIST_FIRST(&handle->holdings);
	const struct holding *of_owner = LIST_FIRST(&owner->holdings);

	/* a holding is in both lists: search until the shorter one ends */
	while (of_handle && of_owner) {
		if (of_handle->owner == owner || of_owner->handle == handle)
			return true;
		of_handle = LIST_NEXT(of_handle, of_handle);
		of_owner = LIST_NEXT(of_owner, of_owner);
	}
	return false;
}

/* An owner without connections that holds nothing expires next. */
static void free_holding(struct handles *h, struct holding *holding)
{
	struct handles_owner *owner = holding->owner;

	LIST_REMOVE(holding, of_handle);
	LIST_REMOVE(holding, of_owner);
	handle_state_end_holding(h, holding);
	owner->own -= !holding->handle->shared;
	owner->holder->handles[class_of(holding->handle)]--;
	h->holdings--;
	free(holding);
	if (owner->queue && LIST_EMPTY(&owner->holdings)) {
		owner->deadline = 0;
		TAILQ_REMOVE(&owner->queue->owners, owner, waiting);
		TAILQ_INSERT_HEAD(&owner->queue->owners, owner, waiting);
	} else if (owner->queue == &h->creators && owner->own == 0 &&
		   !owner->ended) {
		stop_waiting(owner); /* its own are closed: now a borrower */
		wait_for(h, owner);
	}
}

void handle_owners_end_handle(struct handles *h, struct handle *handle,
			      struct ended_handles *ended)
{
	struct holding *holding;

	if (ended->event)
		handle_audit_note_end(handle, ended->reason);
	handle_state_end(h, handle); /* before its holdings */
	while ((holding = LIST_FIRST(&handle->holdings)))
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): as below */
		free_holding(h, holding);
	if (handle->creator)
		handle->creator->handles[class_of(handle)]--;
	holders_close(handle->creator);
	handle_idle_remove(h, handle);
	handle_table_remove(&h->table, handle);
	SLIST_INSERT_HEAD(&ended->list, handle, ended);
}

void handle_owners_free_ended(const struct handles *h,
			      struct ended_handles *ended)
{
	struct handle *handle;
	unsigned freed = 0;

	while ((handle = SLIST_FIRST(&ended->list))) {
		SLIST_REMOVE_HEAD(&ended->list, ended);
		handle_audit_ends(handle, ended->event);
		if (h->tell)
			h->tell(handle->resource, h->tell_context);
		handle_state_unpin(h, handle);
		resource_unref(handle->resource);
		free(handle->process);
		free(handle);
		freed++;
	}
	if (freed >= MANY)
		heap_trim();
}

static void end_owner(struct handles *h, struct handles_owner *owner,
		      struct ended_handles *ended)
{
	struct holding *holding;
	struct handle *handle;

	owner->ended = true;
	while ((holding = LIST_FIRST(&owner->holdings))) {
		/* the analyzer misses that freed ones leave the list */
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
		handle = holding->handle;
		if (LIST_FIRST(&handle->holdings) == holding &&
		    !LIST_NEXT(holding, of_handle))
			handle_owners_end_handle(h, handle, ended);
		else
			free_holding(h, holding);
	}
}

/* --- Connecting, disconnecting and expiring ----------------------------- */

static void free_if_ended(const struct handles *h, struct handles_owner *owner)
{
	if (!owner->ended || owner->connections > 0)
		return;
	stop_waiting(owner);
	handle_proof_free(h, owner);
	LIST_REMOVE(owner, of_name);
	holders_close(owner->holder);
	free(owner);
}

struct handles_owner *handle_owners_new(struct holder *holder,
					uint32_t creation)
{
	struct handles_owner *owner = calloc(1, sizeof(*owner));

	if (!owner)
		return NULL;
	owner->holder = holders_ref(holder);
	owner->tls = "none";
	owner->creation = creation;
	LIST_INIT(&owner->holdings);
	LIST_INSERT_HEAD(&holder->owners, owner, of_name);
	return owner;
}

/* Ends the holder's owners of any other creation. NULL: no memory. */
static struct handles_owner *find_or_make(struct handles *h,
					  struct holder *holder,
					  uint32_t creation,
					  struct ended_handles *ended)
{
	struct handles_owner *owner, *next, *current = NULL;

	for (owner = LIST_FIRST(&holder->owners); owner; owner = next) {
		next = LIST_NEXT(owner, of_name);
		if (owner->creation != creation)
			end_owner(h, owner, ended);
		else if (!owner->ended)
			current = owner;
		free_if_ended(h, owner);
	}
	return current ? current : handle_owners_new(holder, creation);
}

/* A new one without connections is not left. */
static int prove(struct handles *h, struct handles_owner *owner,
		 const struct cert_names *names)
{
	int error = handle_proof_set(h, owner, names);

	if (error == 0 || owner->connections > 0 || owner->queue)
		return error;
	LIST_REMOVE(owner, of_name);
	holders_close(owner->holder);
	free(owner);
	return error;
}

static int up(struct handles *h, struct holder *holder,
	      const struct handles_node *node, struct ended_handles *ended,
	      struct handles_owner **owner)
{
	int error;

	if (!handle_proof_suffices(holder, node->names))
		return -EACCES;
	*owner = find_or_make(h, holder, node->creation, ended);
	error = *owner ? prove(h, *owner, node->names) : -ENOMEM;
	if (error != 0)
		return error;
	if ((*owner)->queue)
		stop_waiting(*owner);
	(*owner)->tls = node->tls;
	(*owner)->connections++;
	(*owner)->since = clock_ms();
	return 0;
}

struct handles_node handle_owners_node(const struct handles_owner *owner)
{
	return (struct handles_node){
		.name = owner->holder->node,
		.creation = owner->creation,
		.tls = owner->tls,
		.names = &owner->names,
	};
}

void handles_each_owner(struct handles *h,
			void (*visit)(const struct handles_node *node,
				      void *context),
			void *context)
{
	const struct handles_owner *owner;
	const struct holder *holder;
	struct handles_node node;

	pthread_rwlock_rdlock(&h->lock);
	for (size_t i = 0; i < HOLDERS_BUCKETS; i++) {
		LIST_FOREACH(holder, &h->holders.buckets[i], entry)
		{
			LIST_FOREACH(owner, &holder->owners, of_name)
			{
				node = handle_owners_node(owner);
				if (owner->connections > 0 && !owner->ended)
					visit(&node, context);
			}
		}
	}
	pthread_rwlock_unlock(&h->lock);
}

int handles_owner_up(struct handles *h, const struct handles_node *node,
		     struct handles_owner **owner)
{
	struct ended_handles ended = { .event = HANDLE_ENDED,
				       .reason = "node_restarted" };
	struct holder *holder;
	int error;

	pthread_rwlock_wrlock(&h->lock);
	holder = holders_open(&h->holders, node->name);
	error = holder ? up(h, holder, node, &ended, owner) : -ENOMEM;
	holders_close(holder);
	pthread_rwlock_unlock(&h->lock);
	handle_owners_free_ended(h, &ended);
	return error;
}

/*
 * Ends owners past their deadline, and the first ones beyond max. Returns the
 * ms until the next deadline; -1: the queue is empty.
 */
static int64_t reap(struct handles *h, struct wait_queue *queue, uint32_t max,
		    struct ended_handles *ended)
{
	int64_t now = clock_ms();
	struct handles_owner *owner;

	while ((owner = TAILQ_FIRST(&queue->owners))) {
		/* the analyzer misses that freed owners leave the queue */
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
		if (owner->deadline > now && queue->length <= max)
			return owner->deadline - now;
		ended->reason =
			owner->deadline > now ? "too_many_gone" : "grace_over";
		end_owner(h, owner, ended);
		free_if_ended(h, owner);
	}
	return -1;
}

/*
 * A node that reconnects is asked to monitor the processes its handles end
 * with, and disconnects if a pid cannot be its own. Another node may have left
 * such a pid under this name: without this, the owner of the name could never
 * stay connected.
 */
static unsigned end_processes(struct handles *h, struct handles_owner *owner,
			      struct ended_handles *ended)
{
	struct holding *holding = LIST_FIRST(&owner->holdings), *next;
	unsigned number = 0;

	for (; holding; holding = next) {
		next = LIST_NEXT(holding, of_owner);
		if (holding->handle->lifetime != HANDLES_PROCESS)
			continue;
		handle_owners_end_handle(h, holding->handle, ended);
		number++;
	}
	return number;
}

/* For the last connection only: one that was replaced proves nothing. */
static bool is_short_lived(struct handles_owner *owner)
{
	if (clock_ms() - owner->since < SHORT_LIFE_MS)
		owner->short_lives++;
	else
		owner->short_lives = 0;
	return owner->short_lives >= SHORT_LIVES;
}

static void log_processes(const char *name, unsigned number)
{
	static struct log_limit limit = LOG_LIMIT_INITIALIZER;

	log_limited(&limit, LOG_WARNING,
		    "ended %u handles of processes of %s: %d connections of "
		    "it in a row took less than %d ms, as when one of these is "
		    "none of its own",
		    number, name, SHORT_LIVES, SHORT_LIFE_MS);
}

static void log_borrowers(void)
{
	static struct log_limit limit = LOG_LIMIT_INITIALIZER;

	log_limited(&limit, LOG_WARNING,
		    "a node that has gone is waited for no longer: it has made "
		    "none of the maps that it holds, as %d others",
		    MAX_BORROWERS);
}

void handle_owners_wait(struct handles *h, struct handles_owner *owner)
{
	owner->deadline = clock_ms() + h->grace;
	wait_for(h, owner);
	if (LIST_EMPTY(&owner->holdings))
		owner->ended = true;
}

void handles_owner_down(struct handles *h, struct handles_owner *owner)
{
	struct ended_handles ended = { .event = HANDLE_ENDED,
				       .reason = "short_connections" };
	char name[sizeof(owner->holder->node)];
	unsigned processes = 0;

	pthread_rwlock_wrlock(&h->lock);
	memcpy(name, owner->holder->node, sizeof(name));
	if (--owner->connections == 0) {
		if (!h->stopping && is_short_lived(owner))
			processes = end_processes(h, owner, &ended);
		handle_owners_wait(h, owner);
	}
	free_if_ended(h, owner);
	pthread_rwlock_unlock(&h->lock);
	handle_owners_free_ended(h, &ended);
	if (processes > 0)
		log_processes(name, processes);
}

int handles_reap(struct handles *h)
{
	struct ended_handles ended = { .event = HANDLE_ENDED };
	int64_t creators, borrowers, left;
	bool too_many;

	pthread_rwlock_wrlock(&h->lock);
	too_many = h->borrowers.length > MAX_BORROWERS;
	creators = reap(h, &h->creators, UINT32_MAX, &ended);
	borrowers = reap(h, &h->borrowers, MAX_BORROWERS, &ended);
	pthread_rwlock_unlock(&h->lock);
	handle_owners_free_ended(h, &ended);
	if (too_many)
		log_borrowers();
	left = creators < 0 || (borrowers >= 0 && borrowers < creators)
		       ? borrowers
		       : creators;
	return left > INT32_MAX ? INT32_MAX : (int)left;
}
