/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EVENTS_INTERNAL_H
#define EVENTS_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "base/budget.h"
#include "bpf/ring.h"
#include "events/events.h"
#include "types/types.h"

/*
 * Shared by events.c, the way in from connections, and the other files. The
 * lock of struct events guards all of it: callers of these functions hold it.
 */

/* Whether a peer's socket takes messages. */
enum peer_state {
	PEER_FREE,
	PEER_BUSY, /* its owner sends: the thread is woken after that */
	PEER_FULL, /* the thread polls its socket */
};

struct events_peer {
	struct events *events;
	struct transport *transport;
	struct pids *pids;
	const char *name;
	enum peer_state state;
	size_t polled; /* its place in what the thread polls; 0: none */
	bool active;   /* it is in events->peers */
	struct term_writer notices; /* whole packets that are yet to be sent */
	TAILQ_HEAD(subscription_list, subscription) subscriptions;
	TAILQ_ENTRY(events_peer) entry;
};

/* A process that gets to know of a subscription's end. */
struct watcher {
	LIST_ENTRY(watcher) entry;
	size_t pid_size;
	size_t ref_size; /* 0: it is linked */
	char terms[];    /* its pid, and the reference of its monitor */
};

/* A message in the making: behind the room for its head a list of events. */
struct batch {
	struct term_writer out;
	uint64_t first;    /* number of its first event */
	uint64_t count;    /* events; 0: there is none */
	size_t list;       /* where the list begins, */
	size_t terms;      /* or, with types, the one in it; */
	uint32_t elements; /* how many that has */
	size_t run;        /* where the size of the last binary stands; 0: no */
	size_t run_size;   /* of each record in it */
	int64_t due;       /* ms: when it is to be sent */
};

struct subscription {
	struct events_peer *peer;
	struct source *source;
	struct map *ring; /* by which handle it was made */
	erlang_pid pid;
	char *head; /* of each message, up to the number of the first event */
	size_t head_size;
	struct term own; /* its pid as a term, in head, */
	struct term to;  /* and the pid that gets the events */
	erlang_ref monitor;
	unsigned long *at; /* in each ring the position of what is next */
	uint64_t credit;
	uint64_t window; /* the first credit */
	uint64_t number; /* of the next event */
	uint32_t batch_size;
	uint32_t linger;
	struct filter filter;
	struct types *types;
	bool is_terms; /* each event is a term, by types or as it comes */
	char *padded;  /* a record that is shorter than its type */
	struct events_lost lost;
	uint64_t lost_before; /* what the counter said in the beginning */
	uint64_t told_lost;   /* by the kernel */
	struct batch batch;
	uint64_t sent, messages, bytes, skipped, filtered, stalls;
	bool late;             /* its turn was over before all was done */
	int64_t stalled_since; /* ms: it can take no more; 0: it can */
	unsigned watcher_count;
	LIST_HEAD(, watcher) watchers;
	TAILQ_ENTRY(subscription) of_peer;
	TAILQ_ENTRY(subscription) of_source;
};

struct source;

/* What goes with a ring of a source. */
struct turn {
	unsigned long to; /* how far the first subscription has come */
	size_t polled;    /* as of a peer */
	bool failed;      /* poll(2) says so: only looks tell what is new */
};

/* A kind of source: sources.c has a table for each. */
struct source_kind {
	int (*open)(struct source *source,
		    const struct events_request *request);
	void (*close)(struct source *source);
	/* what has been lost and is yet to be told by a record, when *end was
	   the end of the ring; NULL: not known */
	uint64_t (*lost)(const struct source *source, unsigned long *end);
	bool polled;      /* poll(2) tells as long as there is something */
	bool wakes;       /* who writes to it wakes the thread */
	unsigned look_ms; /* how often to look whatever poll(2) tells; 0: never
			   */
	bool per_cpu;     /* it has a ring for each event of the request */
	bool tells_lost;  /* records say how many were lost before them */
};

/* What somebody subscribes to: a map with one ring, or one for each processor,
 * or the log. */
struct source {
	const struct source_kind *kind;
	struct map *map; /* NULL: the log */
	uint32_t id;     /* of the map, or EVENTS_LOG */
	int wake;        /* that of struct events */
	struct ring *rings;
	struct turn *turns; /* of each ring */
	unsigned ring_count;
	unsigned first;  /* the ring that comes first in the next turn */
	bool ready;      /* the thread has yet to serve it */
	bool stalled;    /* nobody can take what is there: it is not polled */
	bool lags;       /* poll(2) cannot tell what is new */
	int64_t look_at; /* ms: when to look whatever poll(2) says; 0: never */
	unsigned idle_turns; /* in a row */
	TAILQ_HEAD(, subscription) subscriptions;
	TAILQ_ENTRY(source) entry;
};

struct events {
	pthread_mutex_t lock;
	pthread_cond_t passed; /* somebody who had to wait has had the lock */
	atomic_uint waiting;   /* for the lock, but for the thread */
	atomic_bool stopping;
	bool closing;      /* nothing more is read; see events_stop() */
	atomic_bool freed; /* a peer that was busy is so no longer */
	pthread_t thread;
	bool started;
	int wake; /* eventfd: makes the thread look at everything */
	uint32_t max;
	_Atomic uint32_t count;
	uint32_t max_perf;
	uint32_t perf_count; /* perf events that are open */
	size_t max_message;
	unsigned generation; /* of what the thread polls */
	int64_t retry;       /* ms: when memory may be there again; 0: never */
	struct account account;   /* of batches and notices */
	struct term_writer spare; /* a buffer that no batch has */
	struct term_writer scratch;
	TAILQ_HEAD(, events_peer) peers; /* with subscriptions, or notices */
	TAILQ_HEAD(, source) sources;    /* those served last are behind */
};

/* --- events.c ------------------------------------------------------------ */

/* Why a subscription ends: a term, or {shutdown, Why}, or normal. */
struct end {
	struct term reason;
	const char *shutdown;
	bool quietly; /* its node has gone: nobody waits for word */
	bool by_to;   /* the process that got the events has ended */
};

void events_end_subscription(struct subscription *s, const struct end *end);

/* --- sources.c: reading rings --------------------------------------------- */

/* That of a request; NULL: nobody subscribes to it. */
struct source *source_find(struct events *events,
			   const struct events_request *request);
/* For what has none yet. 0 or -errno. */
int source_open(struct events *events, const struct events_request *request,
		struct source **source);
/* Once it has no subscription. */
void source_close(struct events *events, struct source *source);
/* Sends its subscribers what has come, 64 KiB of a ring at most. */
void source_serve(struct source *source);
/* Bytes that wait in it. */
uint64_t source_fill(const struct source *source);
/* One of its subscribers can take more than before. */
void source_resume(struct source *source);

/* --- batches.c: messages -------------------------------------------------- */

/* False: it cannot take the record now. */
bool batch_add(struct subscription *s, const struct ring_record *record);
/* Sends what there is. False: the peer cannot take it now. */
bool batch_send(struct subscription *s);
/* Sends it if it is due. */
void batch_send_if_due(struct subscription *s, int64_t now);
/* For the end: puts it among the notices. */
void batch_to_notices(struct subscription *s);
void batch_free(struct subscription *s);
/* What the program has lost by its own count, ever; 0: it does not count. */
uint64_t batch_lost(const struct subscription *s);

/* --- peers of events: events_peer.c -------------------------------------- */

/* Sends whole packets now. False: the peer cannot take them now. */
bool events_peer_send(struct events_peer *peer, const char *data, size_t size);
/* Its socket may take something again. */
void events_peer_resume(struct events_peer *peer);
/* Sends what is due. */
void events_peer_send_due(struct events_peer *peer, int64_t now);
/* Tells the watchers, and stops monitoring. */
void events_peer_tell_end(struct subscription *s, const struct end *end);

/* --- thread.c ------------------------------------------------------------ */

void *events_thread(void *events);
void events_wake(struct events *events);

#endif
