/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LOADER_SLOTS_H
#define LOADER_SLOTS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/queue.h>

#include "loader/loader.h"

#define LOADER_SLOTS_QUEUE 8 /* requests of a node that may wait */

/* One end of a socket to the loader, used by one request at a time. */
struct loader_slot {
	int fd;
	const char *node; /* whose request has it; NULL: free */
};

struct loader_waiter;

struct loader_slots {
	struct loader_slot *slots;
	unsigned count;
	pthread_mutex_t lock; /* of the slots' nodes, and the waiters */
	TAILQ_HEAD(loader_queue, loader_waiter) waiters;
};

/* False: out of memory. */
bool loader_slots_init(struct loader_slots *slots, unsigned count);
void loader_slots_fini(struct loader_slots *slots);

/*
 * Waits for a free slot; the node's name must last until it is given back.
 * NULL, with *outcome: LOADER_BUSY or LOADER_CANCELED.
 */
struct loader_slot *loader_slots_take(struct loader_slots *slots,
				      const char *node,
				      const atomic_bool *stopped,
				      enum loader_outcome *outcome);
void loader_slots_give(struct loader_slots *slots, struct loader_slot *slot);

#endif
