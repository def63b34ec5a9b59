/* SPDX-License-Identifier: Apache-2.0 */
/*
 * handle -> kernel object. Owners are in handle_owners.c, references in
 * handle_table.c, the limits on handles in handle_capacity.c.
 *
 * One lock guards it all; no object is opened or closed under it.
 */
#include "handles/handles.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/log.h"
#include "base/rwlock.h"
#include "handles/audit.h"
#include "handles/handles_internal.h"

const char *const handles_lifetimes[] = {
	[HANDLES_NODE] = "node",
	[HANDLES_PROCESS] = "process",
	[HANDLES_PERMANENT] = "permanent",
};

#define LEAST_IDLE_MS 1000 /* time for a node to use a handle it has read */

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* A reference has not enough bits for more of both. */
static void set_limits(struct handles *h, const struct handles_limits *limits)
{
	h->max[RESOURCE_PROGRAMS] =
		least(limits->max_programs, HANDLES_MAX / 2);
	h->max[RESOURCE_MAPS] =
		least(limits->max, HANDLES_MAX - h->max[RESOURCE_PROGRAMS]);
	h->max_per_node[RESOURCE_PROGRAMS] = limits->max_programs_per_node;
	h->max_per_node[RESOURCE_MAPS] = limits->max_per_node;
}

struct handles *handles_new(const char *node, uint32_t creation,
			    const struct handles_limits *limits)
{
	struct handles *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	rwlock_init(&h->lock);
	set_limits(h, limits);
	handle_table_init(&h->table, node, creation,
			  h->max[RESOURCE_MAPS] + h->max[RESOURCE_PROGRAMS]);
	h->grace = (int64_t)limits->grace * 1000;
	h->idle = h->grace > LEAST_IDLE_MS ? h->grace : LEAST_IDLE_MS;
	h->max_holdings =
		(uint64_t)h->max[RESOURCE_MAPS] * HANDLES_HOLDERS_OF_EACH;
	TAILQ_INIT(&h->idle_handles);
	TAILQ_INIT(&h->creators.owners);
	TAILQ_INIT(&h->borrowers.owners);
	return h;
}

void handles_keep_in(struct handles *h, const struct handles_keeper *keeper)
{
	h->keeper = *keeper;
}

void handles_stop(struct handles *h)
{
	if (!h)
		return;
	pthread_rwlock_wrlock(&h->lock);
	h->stopping = h->keeper.state != NULL;
	pthread_rwlock_unlock(&h->lock);
}

uint32_t handles_count(struct handles *h)
{
	uint32_t count;

	pthread_rwlock_rdlock(&h->lock);
	count = h->table.used[RESOURCE_MAPS] + h->table.used[RESOURCE_PROGRAMS];
	pthread_rwlock_unlock(&h->lock);
	return count;
}

/* --- Adding ------------------------------------------------------------- */

/* For a handle to be made, and what is kept of it. */
struct rooms {
	struct kept_room handle;
	struct kept_room holding; /* of a shared one */
};

static int take_rooms(struct handles *h, const struct handles_owner *owner,
		      struct handle *new, struct rooms *rooms)
{
	int error;

	*rooms = (struct rooms){ .handle.bytes = NULL };
	if (getrandom(new->random, sizeof(new->random), 0) !=
	    sizeof(new->random))
		return -EIO;
	error = handle_state_take(h, new, owner, &rooms->handle);
	if (error == 0 && new->shared)
		error = handle_state_take_holding(h, owner, &rooms->holding);
	if (error < 0)
		handle_state_settle(h, new, &rooms->handle);
	return error;
}

static void settle_rooms(const struct handles *h, struct handle *new,
			 struct rooms *rooms)
{
	handle_state_settle(h, new, &rooms->handle);
	handle_state_settle(h, new, &rooms->holding);
}

/* On success the handle owns everything that new points to. */
static int add(struct handles *h, struct handles_owner *owner,
	       const struct handle *new, struct rooms *rooms, erlang_ref *ref)
{
	struct handle *handle;

	if (owner->ended)
		return -ESTALE;
	handle = handle_table_add(&h->table, new);
	if (!handle)
		return -ENOMEM;
	if (new->lifetime == HANDLES_PERMANENT) {
		handle->creator = holders_ref(owner->holder);
		owner->holder->handles[new->resource->kind->class]++;
	} else if (handle_owners_hold(h, owner, handle) < 0) {
		handle_table_remove(&h->table, handle);
		free(handle); /* the caller still owns the rest */
		return -ENOMEM;
	}
	if (handle->shared) {
		handle_idle_add(h, handle);
		handle_state_write_holding(h, LIST_FIRST(&handle->holdings),
					   &rooms->holding);
	}
	handle_state_write(h, handle, &rooms->handle);
	handle_table_make_ref(&h->table, handle, ref);
	return 0;
}

static int add_locked(struct handles *h, struct handles_owner *owner,
		      struct handle *new,
		      struct handles_reservation *reservation, erlang_ref *ref)
{
	enum resource_class class = new->resource->kind->class;
	enum capacity found = CAPACITY_LEFT;
	struct rooms rooms;
	int error = take_rooms(h, owner, new, &rooms);

	if (error < 0)
		return error;
	pthread_rwlock_wrlock(&h->lock);
	if (!handle_capacity_use(h, owner->holder, reservation, class))
		found = handle_capacity(h, owner->holder, class, 1);
	if (found == CAPACITY_LEFT)
		error = add(h, owner, new, &rooms, ref);
	pthread_rwlock_unlock(&h->lock);
	settle_rooms(h, new, &rooms);
	return found == CAPACITY_LEFT
		       ? error
		       : handle_capacity_refuse(h, owner->holder->node, class,
						1, found);
}

/* Logs the caller's copy: the handle itself may have ended already. */
static void audit_made(const struct handles_owner *owner, struct handle *new,
		       const erlang_ref *ref)
{
	new->slot = ref->n[0];
	handle_audit_begins("handle_made", new, owner);
}

int handles_add(struct handles *h, struct handles_owner *owner,
		struct resource *resource, const struct handles_lease *lease,
		erlang_ref *ref)
{
	struct handle new = { .resource = resource_ref(resource),
			      .lifetime = lease->lifetime };
	int error;

	if (lease->lifetime == HANDLES_PROCESS) {
		new.process = malloc(lease->process_size);
		new.process_size = lease->process_size;
		if (!new.process) {
			resource_unref(resource);
			return -ENOMEM;
		}
		memcpy(new.process, lease->process, lease->process_size);
	}
	error = add_locked(h, owner, &new, lease->reservation, ref);
	if (error < 0)
		free(new.process);
	else
		audit_made(owner, &new, ref);
	resource_unref(resource);
	return error;
}

static void drop(struct handles *h, const erlang_ref *ref)
{
	struct ended_handles ended = { .event = NULL };
	struct handle *handle;

	pthread_rwlock_wrlock(&h->lock);
	handle = handle_table_find(&h->table, ref);
	if (handle)
		handle_owners_end_handle(h, handle, &ended);
	pthread_rwlock_unlock(&h->lock);
	handle_owners_free_ended(h, &ended);
}

/* --- Finding ------------------------------------------------------------ */

struct resource *handles_get(struct handles *h, const erlang_ref *ref)
{
	struct resource *resource = NULL;
	struct handle *handle;

	pthread_rwlock_rdlock(&h->lock);
	handle = handle_table_find(&h->table, ref);
	if (handle) {
		handle_idle_use(handle);
		resource = resource_ref(handle->resource);
	}
	pthread_rwlock_unlock(&h->lock);
	return resource;
}

static bool is_for(const struct handle *handle,
		   const struct resource_kind *kind, uint32_t id)
{
	return handle->resource->kind == kind && handle->resource->id == id;
}

/* New handles go to the head of a bucket, so the last match is the oldest. */
static struct handle *find(struct handles *h,
			   const struct handles_wanted *wanted)
{
	struct handle *handle, *oldest = NULL;

	LIST_FOREACH(handle, handle_table_bucket(&h->table, wanted->id),
		     of_bucket)
	if (is_for(handle, wanted->kind, wanted->id) &&
	    handle->resource->restricted == wanted->restricted &&
	    handle->resource->is_view == wanted->is_view)
		oldest = handle;
	return oldest;
}

/* A node that comes to hold a handle, and what is kept of that. */
struct sharing {
	struct handles_owner *owner;
	struct kept_room room;
	enum capacity found;
	struct handle copy; /* see share(); its resource is NULL: none */
};

/*
 * Takes no slot, but counts as a handle of the node. If owner becomes a holder
 * and the audit trail is on, the copy is the handle, with a reference to its
 * object.
 */
static int share(struct handles *h, struct handle *handle,
		 struct sharing *sharing)
{
	struct handles_owner *owner = sharing->owner;
	enum resource_class class = handle->resource->kind->class;
	int error;

	if (owner->ended)
		return -ESTALE;
	if (!handle->shared || handle_owners_hold_it(owner, handle))
		return 0;
	if (owner->holder->handles[class] + owner->holder->reserved[class] >=
	    h->max_per_node[class])
		sharing->found = CAPACITY_NOT_OF_NODE;
	else if (h->holdings >= h->max_holdings)
		sharing->found = CAPACITY_NOT_OF_HOLDERS;
	if (sharing->found != CAPACITY_LEFT)
		return -EMFILE;
	error = handle_owners_hold(h, owner, handle);
	if (error < 0)
		return error;
	handle_state_write_holding(h, LIST_FIRST(&handle->holdings),
				   &sharing->room);
	if (audit_is_on()) {
		sharing->copy = *handle;
		resource_ref(handle->resource);
	}
	return 0;
}

/*
 * Most that are looked for are held already, or not there: -ENOENT. -EAGAIN: it
 * is there, and owner does not hold it yet.
 */
static int find_held(struct handles *h, const struct handles_owner *owner,
		     const struct handles_wanted *wanted, erlang_ref *ref)
{
	struct handle *handle;
	int error = -ENOENT;

	pthread_rwlock_rdlock(&h->lock);
	handle = find(h, wanted);
	if (handle && handle->shared && !handle_owners_hold_it(owner, handle)) {
		error = -EAGAIN;
	} else if (handle) {
		handle_idle_use(handle);
		handle_table_make_ref(&h->table, handle, ref);
		error = owner->ended ? -ESTALE : 0;
	}
	pthread_rwlock_unlock(&h->lock);
	return error;
}

int handles_find(struct handles *h, struct handles_owner *owner,
		 const struct handles_wanted *wanted, erlang_ref *ref)
{
	struct sharing sharing = { .owner = owner, .found = CAPACITY_LEFT };
	struct handle *handle;
	int error = find_held(h, owner, wanted, ref);

	if (error != -EAGAIN)
		return error;
	error = handle_state_take_holding(h, owner, &sharing.room);
	if (error < 0)
		return error;
	error = -ENOENT;
	pthread_rwlock_wrlock(&h->lock);
	handle = find(h, wanted);
	if (handle) {
		handle_idle_use(handle);
		error = share(h, handle, &sharing);
		handle_table_make_ref(&h->table, handle, ref);
	}
	pthread_rwlock_unlock(&h->lock);
	handle_state_settle(h, NULL, &sharing.room);
	if (sharing.copy.resource)
		handle_audit_begins("handle_shared", &sharing.copy, owner);
	resource_unref(sharing.copy.resource);
	return sharing.found == CAPACITY_LEFT
		       ? error
		       : handle_capacity_refuse(h, owner->holder->node,
						wanted->kind->class, 1,
						sharing.found);
}

/* If another thread was faster, its handle replaces the new one. */
static void settle_shared(struct handles *h, struct handles_owner *owner,
			  struct handle *new, erlang_ref *ref)
{
	const struct handles_wanted wanted = {
		.kind = new->resource->kind,
		.id = new->resource->id,
		.restricted = new->resource->restricted,
	};
	erlang_ref oldest;

	if (handles_find(h, owner, &wanted, &oldest) == 0 &&
	    memcmp(oldest.n, ref->n, sizeof(ref->n)) != 0) {
		drop(h, ref);
		*ref = oldest;
	} else {
		audit_made(owner, new, ref);
	}
}

int handles_add_shared(struct handles *h, struct handles_owner *owner,
		       struct resource *resource, erlang_ref *ref)
{
	struct handle new = { .resource = resource_ref(resource),
			      .lifetime = HANDLES_NODE,
			      .shared = true };
	int error = add_locked(h, owner, &new, NULL, ref);

	if (error == 0)
		settle_shared(h, owner, &new, ref);
	resource_unref(resource);
	return error;
}

/* A copy of a shared handle that may end idle, with a reference to its object.
 */
static bool copy_idle(struct handles *h, const erlang_ref *ref,
		      struct handle *copy)
{
	const struct handle *handle;
	bool idle;

	pthread_rwlock_rdlock(&h->lock);
	handle = handle_table_find(&h->table, ref);
	idle = handle && handle->in_idle_list;
	if (idle) {
		*copy = *handle;
		resource_ref(copy->resource);
	}
	pthread_rwlock_unlock(&h->lock);
	return idle;
}

int handles_keep(struct handles *h, const erlang_ref *ref)
{
	struct handle *handle, copy;
	struct kept_room room;
	int error;

	if (!copy_idle(h, ref, &copy))
		return 0;
	error = handle_state_take_again(h, &copy, &room);
	pthread_rwlock_wrlock(&h->lock);
	handle = error == 0 ? handle_table_find(&h->table, ref) : NULL;
	if (handle && handle->in_idle_list) {
		handle_idle_remove(h, handle);
		handle_state_write_again(h, handle, &room);
	}
	pthread_rwlock_unlock(&h->lock);
	handle_state_settle(h, NULL, &room);
	resource_unref(copy.resource);
	return error;
}

static void visit_handle(const struct handles *h, const struct handle *handle,
			 bool owners, handles_visitor visit, void *context)
{
	const struct holding *holding = LIST_FIRST(&handle->holdings);
	struct handles_node owner;
	erlang_ref ref;
	struct handles_info info = {
		.resource = handle->resource,
		.ref = &ref,
		.lifetime = handle->lifetime,
		.process = handle->process,
		.process_size = handle->process_size,
	};

	handle_table_make_ref(&h->table, handle, &ref);
	do {
		if (holding)
			owner = handle_owners_node(holding->owner);
		info.owner = holding ? &owner : NULL;
		visit(&info, context);
		holding = holding ? LIST_NEXT(holding, of_handle) : NULL;
	} while (holding && owners);
}

void handles_tell(struct handles *h,
		  void (*ended)(const struct resource *resource, void *context),
		  void *context)
{
	h->tell = ended;
	h->tell_context = context;
}

void handles_each(struct handles *h, const struct resource_kind *kind,
		  uint32_t id, handles_visitor visit, void *context)
{
	const struct handle *handle;

	pthread_rwlock_rdlock(&h->lock);
	if (id == 0) {
		for (uint32_t slot = 0; slot < h->table.slots; slot++) {
			handle = h->table.table[slot].handle;
			if (handle && handle->resource->kind == kind)
				visit_handle(h, handle, true, visit, context);
		}
	} else {
		LIST_FOREACH(handle, handle_table_bucket(&h->table, id),
			     of_bucket)
		if (is_for(handle, kind, id))
			visit_handle(h, handle, false, visit, context);
	}
	pthread_rwlock_unlock(&h->lock);
}

void handles_each_of(struct handles *h, const struct handles_owner *owner,
		     handles_visitor visit, void *context)
{
	const struct holding *holding;

	pthread_rwlock_rdlock(&h->lock);
	LIST_FOREACH(holding, &owner->holdings, of_owner)
	visit_handle(h, holding->handle, false, visit, context);
	pthread_rwlock_unlock(&h->lock);
}

/* --- Ending ------------------------------------------------------------- */

static bool is_sole_holder(const struct handles_owner *owner,
			   const struct handle *handle)
{
	const struct holding *holding = LIST_FIRST(&handle->holdings);

	return holding && holding->owner == owner &&
	       !LIST_NEXT(holding, of_handle);
}

static void close_handle(struct handles *h, const struct handles_owner *owner,
			 struct handle *handle, struct handles_process *process,
			 struct ended_handles *ended)
{
	if (handle->process && handle_owners_hold_it(owner, handle)) {
		process->pid = handle->process;
		process->size = handle->process_size;
		handle->process = NULL;
	}
	handle_owners_end_handle(h, handle, ended);
}

int handles_close(struct handles *h, const struct handles_owner *owner,
		  const erlang_ref *ref, bool only_own,
		  struct handles_process *process)
{
	struct ended_handles ended = { .event = "handle_closed" };
	struct handle *handle;
	int error = 0;

	pthread_rwlock_wrlock(&h->lock);
	handle = handle_table_find(&h->table, ref);
	if (!handle)
		error = -EBADF;
	else if (only_own && !is_sole_holder(owner, handle))
		error = -EACCES;
	else
		close_handle(h, owner, handle, process, &ended);
	pthread_rwlock_unlock(&h->lock);
	handle_owners_free_ended(h, &ended);
	return error;
}

void handles_process_ended(struct handles *h, const struct handles_owner *owner,
			   const erlang_ref *ref)
{
	struct ended_handles ended = { .event = HANDLE_ENDED,
				       .reason = "process_ended" };
	struct handle *handle;

	pthread_rwlock_wrlock(&h->lock);
	handle = handle_table_find(&h->table, ref);
	if (handle && handle->lifetime == HANDLES_PROCESS &&
	    handle_owners_hold_it(owner, handle))
		handle_owners_end_handle(h, handle, &ended);
	pthread_rwlock_unlock(&h->lock);
	handle_owners_free_ended(h, &ended);
}

void handles_free(struct handles *h)
{
	struct ended_handles ended = { .event = HANDLE_ENDED,
				       .reason = "ebpf_cnode_ends" };
	struct handle *handle;

	if (!h)
		return;
	if (handle_state_leave(h))
		ended.event = NULL;
	handle_idle_fini(h);
	for (uint32_t slot = 0; slot < h->table.slots; slot++) {
		handle = h->table.table[slot].handle;
		if (handle)
			handle_owners_end_handle(h, handle, &ended);
	}
	handle_owners_free_ended(h, &ended);
	handles_reap(h); /* no owner holds a handle now: frees them all */
	holders_fini(&h->holders);
	free(h->table.table);
	pthread_rwlock_destroy(&h->lock);
	free(h);
}
