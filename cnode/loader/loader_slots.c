/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may use the loader next. Requests wait in the order in which they came,
 * but one of a node that has fewer slots goes before one of a node with more.
 */
#include "loader/loader_slots.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define QUEUE_MS 30000
#define LOOK_MS 100 /* at *stopped */

struct loader_waiter {
	TAILQ_ENTRY(loader_waiter) entry;
	const char *node;
	struct loader_slot *slot; /* NULL: it waits */
	pthread_cond_t ready;
};

bool loader_slots_init(struct loader_slots *slots, unsigned count)
{
	slots->slots = calloc(count, sizeof(*slots->slots));
	if (!slots->slots)
		return false;
	slots->count = count;
	for (unsigned i = 0; i < count; i++)
		slots->slots[i].fd = -1;
	pthread_mutex_init(&slots->lock, NULL);
	TAILQ_INIT(&slots->waiters);
	return true;
}

void loader_slots_fini(struct loader_slots *slots)
{
	if (!slots->slots)
		return;
	pthread_mutex_destroy(&slots->lock);
	free(slots->slots);
	slots->slots = NULL;
}

static struct loader_slot *find_free(struct loader_slots *slots)
{
	for (unsigned i = 0; i < slots->count; i++)
		if (!slots->slots[i].node)
			return &slots->slots[i];
	return NULL;
}

static unsigned running(const struct loader_slots *slots, const char *node)
{
	unsigned n = 0;

	for (unsigned i = 0; i < slots->count; i++)
		if (slots->slots[i].node &&
		    strcmp(slots->slots[i].node, node) == 0)
			n++;
	return n;
}

static unsigned waiting(const struct loader_slots *slots, const char *node)
{
	const struct loader_waiter *waiter;
	unsigned n = 0;

	TAILQ_FOREACH(waiter, &slots->waiters, entry)
	if (strcmp(waiter->node, node) == 0)
		n++;
	return n;
}

static void hand_out(struct loader_slots *slots, struct loader_slot *slot)
{
	struct loader_waiter *waiter, *next = NULL;
	unsigned least = 0, n;

	TAILQ_FOREACH(waiter, &slots->waiters, entry)
	{
		n = running(slots, waiter->node);
		if (next && n >= least)
			continue;
		next = waiter;
		least = n;
	}
	if (!next)
		return;
	TAILQ_REMOVE(&slots->waiters, next, entry);
	slot->node = next->node;
	next->slot = slot;
	pthread_cond_signal(&next->ready);
}

static void wait_a_moment(struct loader_waiter *waiter, pthread_mutex_t *lock)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += LOOK_MS * 1000000L;
	until.tv_sec += until.tv_nsec / 1000000000L;
	until.tv_nsec %= 1000000000L;
	pthread_cond_timedwait(&waiter->ready, lock, &until);
}

/* Under the lock. */
static struct loader_slot *wait_for_slot(struct loader_slots *slots,
					 const char *node,
					 const atomic_bool *stopped)
{
	int64_t end = clock_ms() + QUEUE_MS;
	struct loader_waiter waiter = { .node = node };
	pthread_condattr_t monotonic;

	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&waiter.ready, &monotonic);
	pthread_condattr_destroy(&monotonic);
	TAILQ_INSERT_TAIL(&slots->waiters, &waiter, entry);
	while (!waiter.slot && !atomic_load(stopped) && clock_ms() < end)
		wait_a_moment(&waiter, &slots->lock);
	if (!waiter.slot)
		TAILQ_REMOVE(&slots->waiters, &waiter, entry);
	pthread_cond_destroy(&waiter.ready);
	return waiter.slot;
}

struct loader_slot *loader_slots_take(struct loader_slots *slots,
				      const char *node,
				      const atomic_bool *stopped,
				      enum loader_outcome *outcome)
{
	struct loader_slot *slot;

	pthread_mutex_lock(&slots->lock);
	slot = find_free(slots); /* then nobody waits */
	if (slot)
		slot->node = node;
	else if (waiting(slots, node) < LOADER_SLOTS_QUEUE)
		slot = wait_for_slot(slots, node, stopped);
	pthread_mutex_unlock(&slots->lock);
	if (!slot)
		*outcome = atomic_load(stopped) ? LOADER_CANCELED : LOADER_BUSY;
	return slot;
}

void loader_slots_give(struct loader_slots *slots, struct loader_slot *slot)
{
	pthread_mutex_lock(&slots->lock);
	slot->node = NULL;
	hand_out(slots, slot);
	pthread_mutex_unlock(&slots->lock);
}
