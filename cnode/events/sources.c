/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rings that somebody subscribes to. In a turn each subscription is served by
 * itself, from where it stands, as far as it can take what is there. Those that
 * can take no more may lag behind the first for a moment, and within a part of
 * the ring: then they are passed over for what the first one has had. If none
 * can take anything, all stays in the ring.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "bpf/map.h"
#include "bpf/perf_rings.h"
#include "events/events_internal.h"
#include "events/log_ring.h"

#define TURN_SIZE 65536 /* bytes of a ring */
/* for the filter and the types of a subscription */
#define TURN_NS INT64_C(200000)
#define LOOK_AT_CLOCK 16   /* records until the next one */
#define MAX_IDLE_TURNS 100 /* in which nothing could be read */
#define LAG_MS 100         /* that a subscription may lag behind, */
#define LAG_PART 4         /* by the ring's size divided by this */
#define LOOK_MS 1          /* between looks at a ring that cannot be polled, */
#define PERF_LOOK_MS 10 /* and at what does not yet fill a part of a buffer */

/* --- Time ---------------------------------------------------------------- */

/* What a subscription has taken of a turn. */
struct watch {
	int64_t deadline; /* by clock_ns(): then the thread's own time counts */
	int64_t began;    /* by that */
};

static int64_t thread_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static bool may_take_long(const struct subscription *s)
{
	return s->types || s->filter.count > 0;
}

static struct watch start_watch(const struct subscription *s)
{
	return may_take_long(s)
		       ? (struct watch){ clock_ns() + TURN_NS, thread_ns() }
		       : (struct watch){ INT64_MAX, 0 };
}

/* Of a busy machine it is not at fault. */
static bool is_over(struct watch *watch)
{
	if (watch->deadline == INT64_MAX || clock_ns() < watch->deadline)
		return false;
	if (thread_ns() - watch->began > TURN_NS)
		return true;
	watch->deadline = clock_ns() + TURN_NS;
	return false;
}

/* --- A turn -------------------------------------------------------------- */

/* False: it can take no more. */
static bool take(struct subscription *s, const struct ring_record *record)
{
	/* before it is added: that may send a message */
	s->told_lost += record->lost;
	if (record->discarded)
		return true;
	if (!filter_matches(&s->filter, record->data, record->size)) {
		s->filtered++;
		return true;
	}
	if (batch_add(s, record))
		return true;
	s->told_lost -= record->lost;
	return false;
}

static void stall(struct subscription *s)
{
	s->stalls++;
	if (s->stalled_since == 0)
		s->stalled_since = clock_ms();
}

enum served {
	SERVED,  /* it has what the ring may give in a turn */
	STOPPED, /* it can take no more in this turn */
	BROKEN,
};

/* Moves *at behind what it has taken, or does not want. */
static enum served serve_ring(const struct ring *ring, struct subscription *s,
			      unsigned long *at, struct watch *watch)
{
	const unsigned long begin = *at;
	const unsigned long end = ring_end(ring);
	struct ring_record record;
	enum ring_look look;

	for (unsigned n = 1; *at - begin < TURN_SIZE; n++) {
		look = ring_look(ring, *at, end, &record);
		if (look != RING_RECORD)
			return look == RING_EMPTY ? SERVED : BROKEN;
		if (!take(s, &record)) {
			stall(s);
			return STOPPED;
		}
		s->stalled_since = 0;
		*at = record.next;
		if (n % LOOK_AT_CLOCK == 0 && is_over(watch)) {
			s->late = true;
			return STOPPED;
		}
	}
	return SERVED;
}

/* Of each ring in turn. False: broken. */
static bool serve_one(const struct source *source, struct subscription *s)
{
	struct watch watch = start_watch(s);
	enum served served = SERVED;
	unsigned n;

	s->late = false;
	for (unsigned i = 0; i < source->ring_count && served == SERVED; i++) {
		n = (source->first + i) % source->ring_count;
		served = serve_ring(&source->rings[n], s, &s->at[n], &watch);
	}
	if (served == SERVED)
		s->stalled_since = 0;
	return served != BROKEN;
}

/* What its filter drops, it has not missed. */
static void pass_over(const struct ring *ring, struct subscription *s,
		      unsigned long *at, unsigned long to)
{
	struct ring_record record;

	while ((long)(to - *at) > 0 &&
	       ring_look(ring, *at, to, &record) == RING_RECORD) {
		*at = record.next;
		s->told_lost += record.lost;
		if (record.discarded)
			continue;
		if (filter_matches(&s->filter, record.data, record.size)) {
			s->number++;
			s->skipped++;
		} else {
			s->filtered++;
		}
	}
}

/* What came after its turn it takes in the next one. */
static bool keeps_up(const struct subscription *s)
{
	return s->stalled_since == 0 && !s->late;
}

/* Its node may be busy for a moment; meanwhile the ring keeps what is its own.
 */
static bool may_lag(const struct ring *ring, const struct subscription *s,
		    unsigned long at, int64_t now)
{
	return keeps_up(s) ||
	       ((s->stalled_since == 0 || now - s->stalled_since < LAG_MS) &&
		ring_end(ring) - at <= ring->size / LAG_PART);
}

static void end_all(struct source *source, const char *why)
{
	const struct end end = { .shutdown = why };
	struct subscription *s;
	bool last;

	/* the last one's end closes the source */
	do {
		s = TAILQ_FIRST(&source->subscriptions);
		last = !TAILQ_NEXT(s, of_source);
		events_end_subscription(s, &end);
	} while (!last);
}

/* What has come it has taken. */
static bool has_all(const struct source *source, const struct subscription *s)
{
	for (unsigned i = 0; i < source->ring_count; i++)
		if (s->at[i] != ring_end(&source->rings[i]))
			return false;
	return true;
}

static void note_furthest(struct source *source, const struct subscription *s)
{
	for (unsigned i = 0; i < source->ring_count; i++)
		if ((long)(s->at[i] - source->turns[i].to) > 0)
			source->turns[i].to = s->at[i];
}

/* How far the first of them has come; and whether none can take any more. */
static bool serve_all(struct source *source)
{
	struct subscription *s;
	bool good = true;

	for (unsigned i = 0; i < source->ring_count; i++)
		source->turns[i].to = source->rings[i].released;
	source->stalled = true;
	TAILQ_FOREACH(s, &source->subscriptions, of_source)
	{
		good = serve_one(source, s) && good;
		note_furthest(source, s);
		if (s->stalled_since == 0 || has_all(source, s))
			source->stalled = false;
	}
	if (++source->first >= source->ring_count)
		source->first = 0;
	return good;
}

/* Whether it lags behind the first one, which it may within limits. */
static bool go_on_one(struct source *source, struct subscription *s,
		      int64_t now)
{
	const struct ring *ring;
	unsigned long to;
	bool lags = false;

	for (unsigned i = 0; i < source->ring_count; i++) {
		ring = &source->rings[i];
		to = source->turns[i].to;
		if (!source->stalled && s->at[i] != to &&
		    !may_lag(ring, s, s->at[i], now))
			pass_over(ring, s, &s->at[i], to);
		lags = lags || s->at[i] != to;
	}
	return lags;
}

/* Those go on who may not lag so far. */
static void go_on(struct source *source, int64_t now)
{
	bool stalled = false, others = false;
	struct subscription *s;

	TAILQ_FOREACH(s, &source->subscriptions, of_source)
	{
		if (!go_on_one(source, s, now))
			;
		else if (s->stalled_since != 0)
			stalled = true;
		else
			others = true;
	}
	/* for poll(2) there is something to read, but nobody to read it */
	source->lags = stalled && !others && !source->stalled;
}

/* Up to where the last one stands. True: there was something to give back. */
static bool release(struct source *source)
{
	const struct subscription *s;
	unsigned long last;
	bool any = false;

	for (unsigned i = 0; i < source->ring_count; i++) {
		last = source->turns[i].to;
		any = any || last != source->rings[i].released;
		TAILQ_FOREACH(s, &source->subscriptions, of_source)
		if ((long)(last - s->at[i]) > 0)
			last = s->at[i];
		ring_release(&source->rings[i], last);
	}
	return any;
}

static void send_due(const struct source *source, int64_t now)
{
	struct subscription *s;

	TAILQ_FOREACH(s, &source->subscriptions, of_source)
	batch_send_if_due(s, now);
}

/*
 * A program may hold back the first record for as long as it likes, if it may
 * sleep; poll(2) takes that for something to read.
 */
static void back_off(struct source *source, bool idle)
{
	source->idle_turns = idle ? source->idle_turns + 1 : 0;
	if (source->idle_turns >= MAX_IDLE_TURNS && source->kind->polled)
		source->lags = true;
}

static bool has_more(const struct source *source)
{
	const struct subscription *s;

	TAILQ_FOREACH(s, &source->subscriptions, of_source)
	if (s->stalled_since == 0 && !has_all(source, s))
		return true;
	return false;
}

static void set_next_look(struct source *source)
{
	const int64_t now = clock_ms();

	if (source->stalled)
		source->look_at = 0;
	else if (source->kind->polled)
		source->look_at = source->lags ? now + LOOK_MS : 0;
	else if (has_more(source))
		source->look_at = now;
	else if (source->lags)
		source->look_at = now + LOOK_MS;
	else
		source->look_at =
			source->kind->look_ms ? now + source->kind->look_ms : 0;
}

static bool is_stolen(const struct source *source)
{
	for (unsigned i = 0; i < source->ring_count; i++)
		if (ring_is_stolen(&source->rings[i]))
			return true;
	return false;
}

/* Who has what was there may count on its room. */
void source_serve(struct source *source)
{
	int64_t now;
	bool good;

	if (is_stolen(source)) {
		end_all(source, "stolen");
		return;
	}
	good = serve_all(source);
	now = clock_ms();
	go_on(source, now);
	back_off(source, !release(source));
	send_due(source, now);
	set_next_look(source);
	if (!good)
		end_all(source, "broken");
}

void source_resume(struct source *source)
{
	source->stalled = false;
	if (!source->kind->polled || source->lags)
		source->look_at = clock_ms();
}

uint64_t source_fill(const struct source *source)
{
	uint64_t fill = 0;

	for (unsigned i = 0; i < source->ring_count; i++)
		fill += ring_end(&source->rings[i]) - source->rings[i].released;
	return fill;
}

/* --- Opening ------------------------------------------------------------- */

static uint32_t id_of(const struct events_request *request)
{
	return request->ring ? request->ring->resource.id : EVENTS_LOG;
}

struct source *source_find(struct events *events,
			   const struct events_request *request)
{
	struct source *source;

	TAILQ_FOREACH(source, &events->sources, entry)
	if (source->id == id_of(request))
		return source;
	return NULL;
}

static int open_ring(struct source *source,
		     const struct events_request *request)
{
	(void)request;
	return ring_open(source->rings, source->map);
}

static void close_ring(struct source *source)
{
	ring_close(source->rings);
}

static int open_perf(struct source *source,
		     const struct events_request *request)
{
	struct events_perf *perf = request->perf;

	perf->count = 0;
	return perf_rings_open(source->map, perf->events, &source->ring_count,
			       request->buffer, source->rings);
}

static void close_perf(struct source *source)
{
	perf_rings_close(source->map, source->rings, source->ring_count);
}

/* Not events_wake(), which may log. EAGAIN: it is awake already. */
static void wake_for_log(void *context)
{
	static const uint64_t one = 1;
	const struct source *source = context;

	if (write(source->wake, &one, sizeof(one)) < 0)
		return;
}

static int open_log(struct source *source, const struct events_request *request)
{
	(void)request;
	return log_ring_open(source->rings, wake_for_log, source) ? 0 : -ENOMEM;
}

static uint64_t lost_log(const struct source *source, unsigned long *end)
{
	return log_ring_lost(source->rings, end);
}

static void close_log(struct source *source)
{
	log_ring_close(source->rings);
}

static const struct source_kind *kind_of(const struct map *map)
{
	static const struct source_kind ring = {
		.open = open_ring,
		.close = close_ring,
		.polled = true,
	};
	static const struct source_kind perf = {
		.open = open_perf,
		.close = close_perf,
		.look_ms = PERF_LOOK_MS,
		.per_cpu = true,
		.tells_lost = true,
	};
	static const struct source_kind log = {
		.open = open_log,
		.close = close_log,
		.lost = lost_log,
		.wakes = true,
		.tells_lost = true,
	};

	if (!map)
		return &log;
	return map->type == BPF_MAP_TYPE_PERF_EVENT_ARRAY ? &perf : &ring;
}

static int open_rings(struct source *source,
		      const struct events_request *request)
{
	source->ring_count = !source->kind->per_cpu ? 1
			     : request->perf        ? request->perf->count
						    : 0;
	if (source->ring_count == 0)
		return -ENODATA;
	source->rings = calloc(source->ring_count, sizeof(*source->rings));
	source->turns = calloc(source->ring_count, sizeof(*source->turns));
	if (!source->rings || !source->turns)
		return -ENOMEM;
	return source->kind->open(source, request);
}

static void free_source(struct source *source)
{
	free(source->rings);
	free(source->turns);
	free(source);
}

/* For the descriptors of perf events. */
static bool has_room(const struct events *events, const struct source *source,
		     const struct events_request *request)
{
	return !source->kind->per_cpu || !request->perf ||
	       request->perf->count <= events->max_perf - events->perf_count;
}

int source_open(struct events *events, const struct events_request *request,
		struct source **opened)
{
	struct source *source = calloc(1, sizeof(*source));
	int error;

	if (!source)
		return -ENOMEM;
	source->kind = kind_of(request->ring);
	source->id = id_of(request);
	source->map = request->ring;
	source->wake = events->wake;
	error = has_room(events, source, request) ? open_rings(source, request)
						  : -EMFILE;
	if (error < 0) {
		free_source(source);
		return error;
	}
	if (source->map)
		map_ref(source->map);
	TAILQ_INIT(&source->subscriptions);
	TAILQ_INSERT_TAIL(&events->sources, source, entry);
	events->generation++;
	if (source->kind->per_cpu)
		events->perf_count += source->ring_count;
	*opened = source;
	return 0;
}

void source_close(struct events *events, struct source *source)
{
	TAILQ_REMOVE(&events->sources, source, entry);
	events->generation++;
	source->kind->close(source);
	if (source->kind->per_cpu)
		events->perf_count -= source->ring_count;
	map_unref(source->map);
	free_source(source);
}
