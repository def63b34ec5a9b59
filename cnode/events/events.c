/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Subscriptions as connections see them. Each function here takes the lock, and
 * lets the thread know if what it waits for has changed.
 *
 * A subscription is a process of this node to others: it has a pid, it can be
 * monitored and linked to, and it ends.
 */
#include "events/events.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/log.h"
#include "bpf/map.h"
#include "dist/control.h"
#include "dist/transport.h"
#include "events/events_internal.h"

/* --- The lock ------------------------------------------------------------ */

static void lock(struct events *events)
{
	atomic_fetch_add(&events->waiting, 1);
	pthread_mutex_lock(&events->lock);
	atomic_fetch_sub(&events->waiting, 1);
}

static void unlock(struct events *events)
{
	pthread_cond_signal(&events->passed);
	pthread_mutex_unlock(&events->lock);
}

static void unlock_and_wake_if(struct events *events, bool changed)
{
	unlock(events);
	if (changed)
		events_wake(events);
}

/* --- All ----------------------------------------------------------------- */

struct events *events_new(uint32_t max, uint32_t max_perf, size_t max_message,
			  struct budget *budget)
{
	struct events *events = calloc(1, sizeof(*events));

	if (!events)
		return NULL;
	events->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (events->wake < 0) {
		free(events);
		return NULL;
	}
	pthread_mutex_init(&events->lock, NULL);
	pthread_cond_init(&events->passed, NULL);
	TAILQ_INIT(&events->peers);
	TAILQ_INIT(&events->sources);
	term_writer_init(&events->spare);
	term_writer_init(&events->scratch);
	events->account.budget = budget;
	events->spare.account = &events->account;
	events->max = max;
	events->max_perf = max_perf;
	events->max_message = max_message;
	return events;
}

/* It has the signals blocked that its maker has: all that mean something. */
static int start_once(struct events *events)
{
	int error = 0;

	if (!events->started)
		error = pthread_create(&events->thread, NULL, events_thread,
				       events);
	events->started = error == 0;
	return -error;
}

void events_stop(struct events *events)
{
	if (!events)
		return;
	lock(events);
	events->closing = true;
	unlock(events);
}

void events_free(struct events *events)
{
	if (!events)
		return;
	if (events->started) {
		atomic_store(&events->stopping, true);
		events_wake(events);
		pthread_join(events->thread, NULL);
	}
	term_writer_fini(&events->spare);
	term_writer_fini(&events->scratch);
	close(events->wake);
	pthread_cond_destroy(&events->passed);
	pthread_mutex_destroy(&events->lock);
	free(events);
}

/* --- Peers --------------------------------------------------------------- */

static void is_free(void *context)
{
	struct events *events = context;

	atomic_store(&events->freed, true);
	events_wake(events);
}

struct events_peer *events_join(struct events *events,
				struct transport *transport, struct pids *pids,
				const char *name)
{
	struct events_peer *peer = calloc(1, sizeof(*peer));

	if (!peer)
		return NULL;
	peer->events = events;
	peer->transport = transport;
	peer->pids = pids;
	peer->name = name;
	transport->is_free = is_free;
	transport->context = events;
	term_writer_init(&peer->notices);
	peer->notices.account = &events->account;
	TAILQ_INIT(&peer->subscriptions);
	return peer;
}

static void activate(struct events_peer *peer)
{
	if (peer->active)
		return;
	peer->active = true;
	TAILQ_INSERT_TAIL(&peer->events->peers, peer, entry);
}

void events_leave(struct events_peer *peer)
{
	static const struct end gone = { .quietly = true };
	struct subscription *s;
	bool had_any;

	if (!peer)
		return;
	lock(peer->events);
	had_any = !TAILQ_EMPTY(&peer->subscriptions);
	while ((s = TAILQ_FIRST(&peer->subscriptions)))
		events_end_subscription(s, &gone);
	if (peer->active) {
		TAILQ_REMOVE(&peer->events->peers, peer, entry);
		peer->events->generation++;
	}
	term_writer_fini(&peer->notices);
	/* poll(2) keeps rings open that it waits for */
	unlock_and_wake_if(peer->events, had_any);
	free(peer);
}

/* --- Ending -------------------------------------------------------------- */

static void free_subscription(struct subscription *s)
{
	struct watcher *watcher;

	while ((watcher = LIST_FIRST(&s->watchers))) {
		LIST_REMOVE(watcher, entry);
		free(watcher);
	}
	batch_free(s);
	types_free(s->types);
	map_unref(s->lost.map);
	free(s->lost.key);
	free(s->padded);
	free(s->at);
	map_unref(s->ring);
	free(s->head);
	free(s);
}

void events_end_subscription(struct subscription *s, const struct end *end)
{
	struct events *events = s->peer->events;
	struct source *source = s->source;

	if (!end->quietly) {
		if (!batch_send(s))
			batch_to_notices(s);
		events_peer_tell_end(s, end);
	}
	TAILQ_REMOVE(&s->peer->subscriptions, s, of_peer);
	TAILQ_REMOVE(&source->subscriptions, s, of_source);
	events->count--;
	if (TAILQ_EMPTY(&source->subscriptions))
		source_close(events, source);
	else
		source_resume(source);
	free_subscription(s);
}

/* --- Subscribing --------------------------------------------------------- */

static int refuse(const struct events_peer *peer)
{
	static struct log_limit limit =
		LOG_LIMIT_OF("refused", "max_subscriptions");

	log_limited(&limit, LOG_WARNING,
		    "refused a subscription to %s: there are "
		    "--max-subscriptions %u already",
		    peer->name, peer->events->max);
	return -EMFILE;
}

static bool make_monitor(erlang_ref *ref, const char *node, uint32_t creation)
{
	memset(ref, 0, sizeof(*ref));
	strncpy(ref->node, node, sizeof(ref->node) - 1);
	ref->creation = creation;
	ref->len = 3;
	if (getrandom(ref->n, sizeof(ref->n[0]) * 3, 0) !=
	    sizeof(ref->n[0]) * 3)
		return false;
	ref->n[0] &= (1u << 18) - 1; /* the first word has no more bits */
	return true;
}

/* What all its messages begin with. */
static bool make_head(struct subscription *s, const struct term to,
		      const struct term own)
{
	struct term_writer w;
	size_t to_at, own_at;

	term_writer_init(&w);
	control_begin_send(&w, to);
	to_at = w.pos - 1 - to.size; /* before the version */
	term_write_tuple(&w, 5);
	term_write_atom(&w, "ebpf_events");
	own_at = w.pos;
	term_write_term(&w, own);
	if (w.failed) {
		term_writer_fini(&w);
		return false;
	}
	s->head = w.buf;
	s->head_size = w.pos;
	s->to = (struct term){ w.buf + to_at, to.size };
	s->own = (struct term){ w.buf + own_at, own.size };
	return true;
}

/* All that can fail without the lock. */
static int make(struct events_peer *peer, const struct events_request *request,
		struct subscription **made)
{
	struct term own = pids_make(peer->pids);
	struct subscription *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->peer = peer;
	LIST_INIT(&s->watchers);
	s->credit = s->window = request->credit;
	s->batch_size = request->batch;
	s->linger = request->linger;
	s->filter = request->filter;
	term_writer_init(&s->batch.out);
	s->batch.out.account = &peer->events->account;
	if (request->types)
		s->padded = malloc(request->types->value->size);
	if ((request->types && !s->padded) || !term_read_pid(own, &s->pid) ||
	    !make_head(s, request->to, own) ||
	    !make_monitor(&s->monitor, s->pid.node, s->pid.creation)) {
		free(s->padded);
		free(s->head);
		free(s);
		return -ENOMEM;
	}
	*made = s;
	return 0;
}

/* Where it begins to read. */
static bool set_positions(struct subscription *s, const struct source *source,
			  bool oldest)
{
	const struct ring *ring;

	s->at = calloc(source->ring_count, sizeof(*s->at));
	for (unsigned i = 0; s->at && i < source->ring_count; i++) {
		ring = &source->rings[i];
		s->at[i] = oldest ? ring->released : ring_end(ring);
	}
	/* the first record that it gets tells of these, too */
	if (s->at && !oldest && source->kind->lost)
		s->told_lost = 0 - source->kind->lost(source, s->at);
	return s->at;
}

static int find_source(struct events *events,
		       const struct events_request *request,
		       struct source **source)
{
	*source = source_find(events, request);
	return *source ? 0 : source_open(events, request, source);
}

static int add(struct subscription *s, const struct events_request *request)
{
	struct events *events = s->peer->events;
	struct source *source = NULL;
	int error;

	if (events->count >= events->max)
		return -EMFILE;
	error = start_once(events);
	if (error == 0)
		error = find_source(events, request, &source);
	if (!source)
		return error;
	if (!set_positions(s, source, request->oldest)) {
		if (TAILQ_EMPTY(&source->subscriptions))
			source_close(events, source);
		return -ENOMEM;
	}
	s->source = source;
	s->ring = request->ring ? map_ref(request->ring) : NULL;
	s->types = request->types;
	s->is_terms = s->types || !s->ring;
	s->lost = request->lost;
	s->lost_before = batch_lost(s);
	TAILQ_INSERT_TAIL(&source->subscriptions, s, of_source);
	TAILQ_INSERT_TAIL(&s->peer->subscriptions, s, of_peer);
	activate(s->peer);
	events->count++;
	source_resume(source);
	return 0;
}

int events_subscribe(struct events_peer *peer,
		     const struct events_request *request,
		     struct events_made *made)
{
	struct events *events = peer->events;
	struct subscription *s;
	int error = make(peer, request, &s);

	if (error < 0)
		return error;
	made->pid_size = s->own.size;
	memcpy(made->pid, s->own.at, s->own.size);
	made->monitor = s->monitor;
	lock(events);
	error = add(s, request);
	if (error < 0)
		free_subscription(s);
	unlock_and_wake_if(events, error == 0);
	return error == -EMFILE && request->ring && events->count >= events->max
		       ? refuse(peer)
		       : error;
}

/* --- By their pids ------------------------------------------------------- */

static struct subscription *find(const struct events_peer *peer,
				 struct term pid)
{
	struct subscription *s;
	erlang_pid wanted;

	if (!term_read_pid(pid, &wanted))
		return NULL;
	TAILQ_FOREACH(s, &peer->subscriptions, of_peer)
	if (s->pid.num == wanted.num && s->pid.serial == wanted.serial &&
	    s->pid.creation == wanted.creation)
		return s;
	return NULL;
}

static uint64_t sum(uint64_t a, uint64_t b)
{
	return b < UINT64_MAX - a ? a + b : UINT64_MAX;
}

/* The thread is woken only if it has stopped looking at the ring. */
static bool set_credit(struct events_peer *peer, struct term pid, uint64_t more,
		       bool refill)
{
	struct subscription *s;
	bool wake = false;

	lock(peer->events);
	s = find(peer, pid);
	if (s) {
		s->credit = sum(s->credit, more);
		if (refill && s->credit < s->window)
			s->credit = s->window;
		wake = s->source->stalled;
		source_resume(s->source);
	}
	unlock_and_wake_if(peer->events, wake);
	return s != NULL;
}

bool events_grant(struct events_peer *peer, struct term pid, uint64_t bytes)
{
	return set_credit(peer, pid, bytes, false);
}

bool events_refill(struct events_peer *peer, struct term pid)
{
	return set_credit(peer, pid, 0, true);
}

bool events_end(struct events_peer *peer, struct term pid, struct term reason)
{
	const struct end end = { .reason = reason };
	struct subscription *s;

	lock(peer->events);
	s = find(peer, pid);
	if (s)
		events_end_subscription(s, &end);
	unlock_and_wake_if(peer->events, s);
	return s != NULL;
}

void events_process_ended(struct events_peer *peer, const erlang_ref *monitor)
{
	static const struct end end = { .by_to = true };
	struct subscription *s;

	lock(peer->events);
	TAILQ_FOREACH(s, &peer->subscriptions, of_peer)
	if (memcmp(s->monitor.n, monitor->n, 3 * sizeof(monitor->n[0])) == 0) {
		events_end_subscription(s, &end);
		break;
	}
	unlock_and_wake_if(peer->events, s);
}

void events_map_closed(struct events *events, const struct map *map)
{
	static const struct end end = { .shutdown = "closed" };
	struct subscription *s, *next;
	struct events_peer *peer;
	bool found = false;

	/* most maps that are closed are no rings */
	if (atomic_load(&events->count) == 0)
		return;
	lock(events);
	TAILQ_FOREACH(peer, &events->peers, entry)
	for (s = TAILQ_FIRST(&peer->subscriptions); s; s = next) {
		next = TAILQ_NEXT(s, of_peer);
		if (s->ring != map)
			continue;
		events_end_subscription(s, &end);
		found = true;
	}
	unlock_and_wake_if(events, found);
}

/* --- Watchers ------------------------------------------------------------ */

static bool is_of(const struct watcher *watcher, struct term pid,
		  struct term ref)
{
	return watcher->pid_size == pid.size && watcher->ref_size == ref.size &&
	       memcmp(watcher->terms, pid.at, pid.size) == 0 &&
	       memcmp(watcher->terms + pid.size, ref.at, ref.size) == 0;
}

static int watch(struct subscription *s, struct term from, struct term ref)
{
	struct watcher *watcher;

	if (s->watcher_count == EVENTS_MAX_WATCHERS)
		return -E2BIG;
	watcher = malloc(sizeof(*watcher) + from.size + ref.size);
	if (!watcher)
		return -ENOMEM;
	watcher->pid_size = from.size;
	watcher->ref_size = ref.size;
	memcpy(watcher->terms, from.at, from.size);
	if (ref.size > 0)
		memcpy(watcher->terms + from.size, ref.at, ref.size);
	LIST_INSERT_HEAD(&s->watchers, watcher, entry);
	s->watcher_count++;
	return 0;
}

static struct watcher *find_watcher(const struct subscription *s,
				    struct term from, struct term ref)
{
	struct watcher *watcher;

	LIST_FOREACH(watcher, &s->watchers, entry)
	if (is_of(watcher, from, ref))
		return watcher;
	return NULL;
}

int events_monitor(struct events_peer *peer, struct term pid, struct term from,
		   struct term ref)
{
	struct subscription *s;
	int error;

	lock(peer->events);
	s = find(peer, pid);
	error = s ? watch(s, from, ref) : -ESRCH;
	unlock(peer->events);
	return error;
}

int events_link(struct events_peer *peer, struct term pid, struct term from)
{
	static const struct term none = { .at = "" };
	struct subscription *s;
	int error = 0;

	lock(peer->events);
	s = find(peer, pid);
	if (!s)
		error = -ESRCH;
	else if (!find_watcher(s, from, none))
		error = watch(s, from, none);
	unlock(peer->events);
	return error;
}

static void unwatch(struct events_peer *peer, struct term pid, struct term from,
		    struct term ref)
{
	struct watcher *watcher = NULL;
	struct subscription *s;

	lock(peer->events);
	s = find(peer, pid);
	if (s)
		watcher = find_watcher(s, from, ref);
	if (watcher) {
		LIST_REMOVE(watcher, entry);
		s->watcher_count--;
		free(watcher);
	}
	unlock(peer->events);
}

void events_demonitor(struct events_peer *peer, struct term pid,
		      struct term from, struct term ref)
{
	unwatch(peer, pid, from, ref);
}

void events_unlink(struct events_peer *peer, struct term pid, struct term from)
{
	unwatch(peer, pid, from, (struct term){ .at = "" });
}

/* --- Looking ------------------------------------------------------------- */

static void visit_one(const struct subscription *s, events_visitor visit,
		      void *context)
{
	const struct events_info info = {
		.pid = s->own,
		.to = s->to,
		.ring = s->source->id,
		.credit = s->credit,
		.sent = s->sent,
		.messages = s->messages,
		.bytes = s->bytes,
		.skipped = s->skipped,
		.filtered = s->filtered,
		.stalls = s->stalls,
		.fill = source_fill(s->source),
	};

	visit(&info, context);
}

void events_each(struct events *events, uint32_t ring, events_visitor visit,
		 void *context)
{
	const struct source *source;
	const struct subscription *s;

	lock(events);
	TAILQ_FOREACH(source, &events->sources, entry)
	if (ring == 0 || source->id == ring)
		TAILQ_FOREACH(s, &source->subscriptions, of_source)
	visit_one(s, visit, context);
	unlock(events);
}
