/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EVENTS_H
#define EVENTS_H

#include <ei.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dist/pids.h"
#include "term/term.h"
#include "types/filter.h"

struct budget;
struct map;
struct transport;
struct types;

/*
 * Subscriptions of processes of the cluster to ring buffers of this host. One
 * thread, which the first of them starts, reads all rings, and sends what it
 * reads as messages; it waits for no peer. Safe to use from any thread.
 */
struct events;

/* A connected node; of its functions one thread may call each but join. */
struct events_peer;

#define EVENTS_MIN_BATCH 1024u
#define EVENTS_MAX_BATCH 262144u
#define EVENTS_MAX_LINGER 60000u /* ms */
#define EVENTS_MAX_WATCHERS 256u /* monitors and links of a subscription */

/*
 * NULL with errno. max: subscriptions, of all nodes together; max_perf: perf
 * events, each with a descriptor.
 */
struct events *events_new(uint32_t max, uint32_t max_perf, size_t max_message,
			  struct budget *budget);
/*
 * Before nodes are disconnected: nothing more is read from rings, as it would
 * be taken from there and reach nobody. Takes NULL.
 */
void events_stop(struct events *events);
/* Once all nodes have left. */
void events_free(struct events *events);

/*
 * A node has connected; all that these point to outlives it. NULL: no memory.
 * Before transport_fini() it has to leave, which ends its subscriptions.
 */
struct events_peer *events_join(struct events *events,
				struct transport *transport, struct pids *pids,
				const char *name);
void events_leave(struct events_peer *peer); /* takes NULL */

/* What the program that writes to a ring counts in a map: events it lost. */
struct events_lost {
	struct map *map; /* NULL: nothing is known; of 8-byte values */
	char *key;
};

struct perf_event;

/* What a perf event array needs to be read: an event of each processor. */
struct events_perf {
	const struct perf_event *events;
	unsigned count; /* becomes 0 once they are taken over */
};

/* In place of the id of a map: the log of this process. */
#define EVENTS_LOG UINT32_MAX

struct events_request {
	struct map *ring;         /* or a perf event array; NULL: the log */
	struct events_perf *perf; /* NULL: none have been opened */
	uint32_t buffer; /* bytes for each processor, of a perf event array */
	struct term to;  /* the pid that gets the events */
	uint64_t credit; /* bytes of records */
	uint32_t batch;  /* bytes of a message, about */
	uint32_t linger; /* ms that an event may wait for others */
	bool oldest;     /* begin with what is in the ring already */
	struct filter filter;
	struct types *types; /* NULL: events are bytes */
	struct events_lost lost;
};

/* A subscription that was made. */
struct events_made {
	char pid[PIDS_MAX_SIZE]; /* of the subscription */
	size_t pid_size;
	erlang_ref monitor; /* by which the node has to monitor request->to */
};

/*
 * 0, and then types and lost are the subscription's. -EMFILE: there are as many
 * as there may be, which is logged, or as many perf events; -ENOMEM; -EAGAIN:
 * no thread can be started; -ENODATA: nobody reads the perf event array yet,
 * and no events are given; otherwise as ring_open() and perf_rings_open().
 */
int events_subscribe(struct events_peer *peer,
		     const struct events_request *request,
		     struct events_made *made);

/*
 * On subscriptions of this peer, by their pids. False: there is none of that
 * pid.
 */
bool events_grant(struct events_peer *peer, struct term pid, uint64_t bytes);
/* To what it had in the beginning: who gets terms cannot count bytes. */
bool events_refill(struct events_peer *peer, struct term pid);
/* Its monitors are told the reason; of size 0: normal. */
bool events_end(struct events_peer *peer, struct term pid, struct term reason);
/* A process monitors or links to it. -ESRCH: none; -E2BIG: too many do. */
int events_monitor(struct events_peer *peer, struct term pid, struct term from,
		   struct term ref);
int events_link(struct events_peer *peer, struct term pid, struct term from);
void events_demonitor(struct events_peer *peer, struct term pid,
		      struct term from, struct term ref);
void events_unlink(struct events_peer *peer, struct term pid, struct term from);
/* The process that a monitor of ours was for. */
void events_process_ended(struct events_peer *peer, const erlang_ref *monitor);

/* The handle of a map, by which it was subscribed to, has ended. */
void events_map_closed(struct events *events, const struct map *map);

/* A subscription, as a visitor sees it. */
struct events_info {
	struct term pid;
	struct term to;
	uint32_t ring;     /* id of the map, or EVENTS_LOG */
	uint64_t credit;   /* bytes left */
	uint64_t sent;     /* events, */
	uint64_t messages; /* in so many messages, */
	uint64_t bytes;    /* of so many bytes of records */
	uint64_t skipped;  /* events that it was passed over for */
	uint64_t filtered; /* events that its filter dropped */
	uint64_t stalls;   /* times that it could take no more */
	uint64_t fill;     /* bytes that wait in the ring */
};

/* visit must not call events_*(). */
typedef void (*events_visitor)(const struct events_info *info, void *context);
/* With an id of a map, or EVENTS_LOG, only those of that ring; 0: all. */
void events_each(struct events *events, uint32_t ring, events_visitor visit,
		 void *context);

#endif
