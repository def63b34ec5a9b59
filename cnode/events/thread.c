/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that reads all rings. It sleeps in poll(2) over the rings in which
 * something could be for somebody who can take it, over sockets that were full,
 * and over an eventfd by which others wake it.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "bpf/map.h"
#include "dist/transport.h"
#include "events/events_internal.h"

#define PAUSE_MS 100 /* without memory, or where poll(2) fails */

struct polled {
	struct pollfd *fds;
	size_t capacity;
	size_t count;
	unsigned generation;
	int timeout; /* ms */
	bool failed;
};

/* --- The lock ------------------------------------------------------------ */

/* One of those who wait goes first: a mutex knows no turns. */
static void let_others(struct events *events)
{
	if (atomic_load(&events->waiting) > 0)
		pthread_cond_wait(&events->passed, &events->lock);
}

static void lock(struct events *events)
{
	pthread_mutex_lock(&events->lock);
	let_others(events);
}

/* --- Sleeping ------------------------------------------------------------ */

/* Its place; 0: there is no memory. */
static size_t add_fd(struct polled *p, int fd, short wanted)
{
	size_t capacity = p->capacity ? 2 * p->capacity : 64;
	struct pollfd *fds;

	if (p->count == p->capacity) {
		fds = realloc(p->fds, capacity * sizeof(*fds));
		if (!fds) {
			p->failed = true;
			return 0;
		}
		p->fds = fds;
		p->capacity = capacity;
	}
	p->fds[p->count] = (struct pollfd){ .fd = fd, .events = wanted };
	return p->count++;
}

static void wait_at_most(struct polled *p, int64_t until)
{
	int64_t left = until - clock_ms();

	left = left < 0 ? 0 : left > INT32_MAX ? INT32_MAX : left;
	if (p->timeout < 0 || left < p->timeout)
		p->timeout = (int)left;
}

/* What lingers, unless its node takes nothing anyway. */
static void wait_for_peer(struct polled *p, const struct events_peer *peer)
{
	const struct subscription *s;

	if (peer->state != PEER_FREE)
		return;
	TAILQ_FOREACH(s, &peer->subscriptions, of_peer)
	if (s->batch.count > 0)
		wait_at_most(p, s->batch.due);
}

static void prepare_source(struct source *source, struct polled *p,
			   bool closing)
{
	struct turn *turn;
	bool polls = !closing && !source->stalled && !source->lags;

	for (unsigned i = 0; i < source->ring_count; i++) {
		turn = &source->turns[i];
		turn->polled =
			polls && !turn->failed && source->rings[i].fd >= 0
				? add_fd(p, source->rings[i].fd, POLLIN)
				: 0;
	}
	if (!closing && !source->stalled && source->look_at > 0)
		wait_at_most(p, source->look_at);
}

/* Its first place is that of the eventfd. */
static void prepare(struct events *events, struct polled *p)
{
	struct events_peer *peer;
	struct source *source;

	p->count = 0;
	p->timeout = -1;
	p->failed = false;
	p->generation = events->generation;
	add_fd(p, events->wake, POLLIN);
	TAILQ_FOREACH(source, &events->sources, entry)
	prepare_source(source, p, events->closing);
	TAILQ_FOREACH(peer, &events->peers, entry)
	{
		peer->polled =
			peer->state != PEER_FULL
				? 0
				: add_fd(p, peer->transport->fd, POLLOUT);
		wait_for_peer(p, peer);
	}
	if (events->retry > 0)
		wait_at_most(p, events->retry);
}

static void read_wake(const struct events *events)
{
	uint64_t count;

	if (read(events->wake, &count, sizeof(count)) < 0 && errno != EAGAIN)
		log_error("the thread of events: %m");
}

void events_wake(struct events *events)
{
	static const uint64_t one = 1;

	/* EAGAIN: it is awake already */
	if (write(events->wake, &one, sizeof(one)) < 0 && errno != EAGAIN)
		log_error("the thread of events: %m");
}

/* --- Working ------------------------------------------------------------- */

static bool is_ready(const struct polled *p, size_t place)
{
	return place > 0 && p->fds[place].revents != 0;
}

/* Whatever poll(2) says. */
static bool is_due(const struct source *source, int64_t now)
{
	return !source->stalled &&
	       (source->kind->wakes ||
		(source->look_at > 0 && source->look_at <= now));
}

/* Of a perf event whose processor has gone poll(2) says POLLHUP for good. */
static void take_polled(struct source *source, const struct polled *p)
{
	struct turn *turn;

	for (unsigned i = 0; i < source->ring_count; i++) {
		turn = &source->turns[i];
		if (!is_ready(p, turn->polled))
			continue;
		source->ready = true;
		turn->failed = !source->kind->polled &&
			       !(p->fds[turn->polled].revents & POLLIN);
	}
}

/* Descriptors may have become others' meanwhile: then all is polled again. */
static void take_ready(struct events *events, const struct polled *p)
{
	const int64_t now = clock_ms();
	struct events_peer *peer;
	struct source *source;

	TAILQ_FOREACH(source, &events->sources, entry)
	source->ready = is_due(source, now);
	if (p->generation != events->generation)
		return;
	TAILQ_FOREACH(source, &events->sources, entry)
	take_polled(source, p);
	TAILQ_FOREACH(peer, &events->peers, entry)
	if (is_ready(p, peer->polled))
		events_peer_resume(peer);
}

static void leave_if_idle(struct events *events, struct events_peer *peer)
{
	if (!TAILQ_EMPTY(&peer->subscriptions) || peer->notices.pos > 0 ||
	    peer->state != PEER_FREE)
		return;
	TAILQ_REMOVE(&events->peers, peer, entry);
	peer->active = false;
}

static void send_due(struct events *events)
{
	bool freed = atomic_exchange(&events->freed, false);
	struct events_peer *peer, *next;
	int64_t now = clock_ms();

	for (peer = TAILQ_FIRST(&events->peers); peer; peer = next) {
		next = TAILQ_NEXT(peer, entry);
		if (freed && peer->state == PEER_BUSY)
			events_peer_resume(peer);
		else
			events_peer_send_due(peer, now);
		leave_if_idle(events, peer);
	}
}

static void retry(struct events *events)
{
	struct source *source;

	if (events->retry == 0 || events->retry > clock_ms())
		return;
	events->retry = 0;
	TAILQ_FOREACH(source, &events->sources, entry)
	source_resume(source);
}

static struct source *next_ready(struct events *events)
{
	struct source *source;

	TAILQ_FOREACH(source, &events->sources, entry)
	if (source->ready) {
		source->ready = false;
		TAILQ_REMOVE(&events->sources, source, entry);
		TAILQ_INSERT_TAIL(&events->sources, source, entry);
		return source;
	}
	return NULL;
}

static void serve_ready(struct events *events)
{
	struct source *source;

	while (!events->closing && (source = next_ready(events))) {
		source_serve(source);
		let_others(events);
	}
}

static void pause_for_memory(void)
{
	poll(NULL, 0, PAUSE_MS);
}

void *events_thread(void *argument)
{
	struct events *events = argument;
	struct polled p = { .fds = NULL };

	lock(events);
	while (!atomic_load(&events->stopping)) {
		prepare(events, &p);
		pthread_mutex_unlock(&events->lock);
		if (p.failed ||
		    (poll(p.fds, p.count, p.timeout) < 0 && errno != EINTR))
			pause_for_memory();
		lock(events);
		if (p.failed)
			continue;
		if (p.fds[0].revents)
			read_wake(events);
		take_ready(events, &p);
		retry(events);
		send_due(events);
		serve_ready(events);
	}
	pthread_mutex_unlock(&events->lock);
	free(p.fds);
	return NULL;
}
