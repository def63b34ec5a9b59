/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handles that came from reading a map of maps. Each keeps its map alive, even
 * after the map has left the outer one: a node that only reads maps which
 * others replace would pile up handles for as long as it is connected. So a
 * handle that nobody has used for a while ends, unless its map is still in an
 * outer map with a handle here. A handle that a node made or opened, or whose
 * map was taken out of the outer one, never ends this way.
 *
 * One thread does this, a step at a time; it holds the lock for one pass over
 * a table at most.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "bpf/map_scan.h"
#include "handles/handles_internal.h"

#define MOST_AT_ONCE 16384 /* idle handles per pass */
#define END_AT_ONCE 256
#define LEAST_WAIT_MS 1000 /* where there was no memory for a pass */

/* A weak reference: the handle may end meanwhile. */
struct looked_at {
	uint32_t id; /* of the map */
	uint32_t slot;
	uint32_t random[2];
	bool found;      /* idle: the map is in an outer map */
	bool restricted; /* outer: may be write-only */
};

struct idle_look {
	struct looked_at *idle; /* by id */
	size_t idle_count;
	size_t next_idle;
	struct looked_at *outer; /* by id, unrestricted ones first */
	size_t outer_count;
	size_t next_outer;
	struct resource *scanned; /* an outer map, or NULL between two */
	struct map_scan scan;
};

/* --- The list of idle handles, under the lock --------------------------- */

void handle_idle_add(struct handles *h, struct handle *handle)
{
	handle->in_idle_list = true;
	handle_idle_use(handle);
	handle->look = clock_ms() + h->idle;
	TAILQ_INSERT_TAIL(&h->idle_handles, handle, idle);
}

void handle_idle_remove(struct handles *h, struct handle *handle)
{
	if (handle->in_idle_list)
		TAILQ_REMOVE(&h->idle_handles, handle, idle);
	handle->in_idle_list = false;
}

static int64_t idle_until(const struct handles *h, struct handle *handle)
{
	return atomic_load_explicit(&handle->used, memory_order_relaxed) +
	       h->idle;
}

static struct looked_at note(const struct handle *handle)
{
	return (struct looked_at){ .id = handle->resource->id,
				   .slot = handle->slot,
				   .random = { handle->random[0],
					       handle->random[1] },
				   .restricted = handle->resource->restricted };
}

static struct handle *find(const struct handles *h,
			   const struct looked_at *noted)
{
	struct handle *handle = noted->slot < h->table.slots
					? h->table.table[noted->slot].handle
					: NULL;

	return handle && memcmp(handle->random, noted->random,
				sizeof(handle->random)) == 0
		       ? handle
		       : NULL;
}

/* The handles due for a look; those used meanwhile are put off. */
static size_t gather_idle(struct handles *h, struct looked_at *idle)
{
	int64_t now = clock_ms(), until;
	struct handle *handle;
	size_t count = 0, seen = 0;

	while ((handle = TAILQ_FIRST(&h->idle_handles)) &&
	       handle->look <= now && seen++ < MOST_AT_ONCE) {
		until = idle_until(h, handle);
		if (until <= now) {
			idle[count++] = note(handle);
			until = now + h->idle;
		}
		handle->look = until;
		TAILQ_REMOVE(&h->idle_handles, handle, idle);
		TAILQ_INSERT_TAIL(&h->idle_handles, handle, idle);
	}
	return count;
}

static size_t gather_outer(const struct handles *h, struct looked_at *outer)
{
	const struct handle *handle;
	size_t count = 0;

	for (uint32_t slot = 0; slot < h->table.slots; slot++) {
		handle = h->table.table[slot].handle;
		if (handle && map_scan_is_outer(handle->resource))
			outer[count++] = note(handle);
	}
	return count;
}

/* --- A pass ------------------------------------------------------------- */

static void end_scan(struct idle_look *look)
{
	map_scan_close(&look->scan);
	resource_unref(look->scanned);
	look->scanned = NULL;
}

static void free_look(struct idle_look *look)
{
	if (!look)
		return;
	end_scan(look);
	free(look->idle);
	free(look->outer);
	free(look);
}

void handle_idle_fini(struct handles *h)
{
	free_look(h->look);
	h->look = NULL;
}

static int by_id(const void *a, const void *b)
{
	const struct looked_at *s = a, *t = b;

	if (s->id == t->id)
		return s->restricted - t->restricted;
	return s->id < t->id ? -1 : 1;
}

static bool gather(struct handles *h, struct idle_look *look)
{
	uint32_t slots;

	look->idle = malloc(MOST_AT_ONCE * sizeof(*look->idle));
	pthread_rwlock_wrlock(&h->lock);
	slots = h->table.slots;
	if (look->idle)
		look->idle_count = gather_idle(h, look->idle);
	pthread_rwlock_unlock(&h->lock);
	if (look->idle_count == 0)
		return false;
	look->outer = malloc(slots * sizeof(*look->outer));
	if (!look->outer)
		return false;
	pthread_rwlock_rdlock(&h->lock);
	if (h->table.slots == slots)
		look->outer_count = gather_outer(h, look->outer);
	else /* the table has grown: try again next time */
		look->idle_count = 0;
	pthread_rwlock_unlock(&h->lock);
	qsort(look->idle, look->idle_count, sizeof(*look->idle), by_id);
	qsort(look->outer, look->outer_count, sizeof(*look->outer), by_id);
	return look->idle_count > 0;
}

/* Out of memory: a later pass ends them. */
static void start(struct handles *h)
{
	struct idle_look *look = calloc(1, sizeof(*look));

	if (look && gather(h, look))
		h->look = look;
	else
		free_look(look);
}

static void mark(struct idle_look *look, uint32_t id)
{
	size_t low = 0, high = look->idle_count, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (look->idle[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < look->idle_count && look->idle[low].id == id; low++)
		look->idle[low].found = true;
}

/* An outer map could not be read: any idle map may still be in it. */
static void give_up(struct idle_look *look)
{
	end_scan(look);
	look->next_outer = look->outer_count;
	look->idle_count = 0;
}

/* Starts on the next outer map, if its handle is still open. */
static void start_scan(struct handles *h, struct idle_look *look)
{
	const struct looked_at *outer = &look->outer[look->next_outer++];
	struct handle *handle;

	pthread_rwlock_rdlock(&h->lock);
	handle = find(h, outer);
	if (handle)
		look->scanned = resource_ref(handle->resource);
	pthread_rwlock_unlock(&h->lock);
	if (handle && map_scan_open(&look->scan, look->scanned, NULL) < 0)
		give_up(look);
}

/* This map has been read: skip its other handles. */
static void skip_same(struct idle_look *look)
{
	uint32_t id = look->scanned->id;

	while (look->next_outer < look->outer_count &&
	       look->outer[look->next_outer].id == id)
		look->next_outer++;
}

/*
 * EPERM, from a write-only handle, is no loss: no idle handle came from reading
 * through it.
 */
static void step(struct idle_look *look)
{
	int error = map_scan_step(&look->scan);

	for (size_t i = 0; i < look->scan.count; i++)
		mark(look, look->scan.ids[i]);
	if (error == -EPERM) {
		end_scan(look);
	} else if (error < 0) {
		give_up(look);
	} else if (look->scan.done) {
		skip_same(look);
		end_scan(look);
	}
}

/* Ends a batch: handles still idle whose maps are in no outer map. */
static void end_some(struct handles *h, struct idle_look *look)
{
	struct ended_handles ended = { .event = HANDLE_ENDED,
				       .reason = "left_its_map" };
	size_t end = look->next_idle + END_AT_ONCE;
	int64_t now = clock_ms();
	const struct looked_at *idle;
	struct handle *handle;

	if (end > look->idle_count)
		end = look->idle_count;
	pthread_rwlock_wrlock(&h->lock);
	for (; look->next_idle < end; look->next_idle++) {
		idle = &look->idle[look->next_idle];
		handle = idle->found ? NULL : find(h, idle);
		if (handle && handle->in_idle_list &&
		    idle_until(h, handle) <= now)
			handle_owners_end_handle(h, handle, &ended);
	}
	pthread_rwlock_unlock(&h->lock);
	handle_owners_free_ended(h, &ended);
}

/* ms until the first handle is due for a look; -1: no handles. */
static int next_look(struct handles *h)
{
	const struct handle *first;
	int64_t left = -1;

	pthread_rwlock_rdlock(&h->lock);
	first = TAILQ_FIRST(&h->idle_handles);
	if (first)
		left = first->look - clock_ms();
	pthread_rwlock_unlock(&h->lock);
	if (!first)
		return -1;
	return left < 0 ? 0 : left > INT32_MAX ? INT32_MAX : (int)left;
}

int handles_end_idle(struct handles *h)
{
	struct idle_look *look;
	int wait;

	if (!h->look) {
		wait = next_look(h);
		if (wait != 0)
			return wait;
		start(h);
		if (h->look)
			return 0;
		wait = next_look(h);
		return wait == 0 ? LEAST_WAIT_MS : wait;
	}
	look = h->look;
	if (look->scanned)
		step(look);
	else if (look->next_outer < look->outer_count)
		start_scan(h, look);
	else if (look->next_idle < look->idle_count)
		end_some(h, look);
	else
		handle_idle_fini(h);
	return 0;
}
