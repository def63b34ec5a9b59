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

#include "base/clock.h"
#include "bpf/map.h"
#include "events/events_internal.h"

#define TURN_SIZE 65536 /* bytes of a ring */
/* for the filter and the types of a subscription */
#define TURN_NS INT64_C(200000)
#define LOOK_AT_CLOCK 16   /* records until the next one */
#define MAX_IDLE_TURNS 100 /* in which nothing could be read */
#define LAG_MS 100         /* that a subscription may lag behind, */
#define LAG_PART 4         /* by the ring's size divided by this */

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
	if (!filter_matches(&s->filter, record->data, record->size)) {
		s->filtered++;
		return true;
	}
	return batch_add(s, record);
}

static void stall(struct subscription *s)
{
	s->stalls++;
	if (s->stalled_since == 0)
		s->stalled_since = clock_ms();
}

/* Moves s->at behind what it has taken, or does not want. False: broken. */
static bool serve_one(const struct ring *ring, struct subscription *s)
{
	const unsigned long begin = s->at;
	const unsigned long end = ring_end(ring);
	struct watch watch = start_watch(s);
	struct ring_record record;
	enum ring_look look;

	s->late = false;
	for (unsigned n = 1; s->at - begin < TURN_SIZE; n++) {
		look = ring_look(ring, s->at, end, &record);
		if (look != RING_RECORD)
			return look == RING_EMPTY;
		if (!record.discarded && !take(s, &record)) {
			stall(s);
			return true;
		}
		s->stalled_since = 0;
		s->at = record.next;
		if (n % LOOK_AT_CLOCK == 0 && is_over(&watch)) {
			s->late = true;
			break;
		}
	}
	return true;
}

/* What its filter drops, it has not missed. */
static void pass_over(const struct ring *ring, struct subscription *s,
		      unsigned long to)
{
	struct ring_record record;

	while ((long)(to - s->at) > 0 &&
	       ring_look(ring, s->at, to, &record) == RING_RECORD) {
		s->at = record.next;
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
		    int64_t now)
{
	return keeps_up(s) ||
	       ((s->stalled_since == 0 || now - s->stalled_since < LAG_MS) &&
		ring_end(ring) - s->at <= ring->pages.size / LAG_PART);
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

/* How far the first of them has come; and whether none can take any more. */
static bool serve_all(struct source *source, unsigned long *to)
{
	struct subscription *s;
	bool good = true;

	*to = source->ring.released;
	source->stalled = true;
	TAILQ_FOREACH(s, &source->subscriptions, of_source)
	{
		good = serve_one(&source->ring, s) && good;
		if ((long)(s->at - *to) > 0)
			*to = s->at;
		if (s->stalled_since == 0 || s->at == ring_end(&source->ring))
			source->stalled = false;
	}
	return good;
}

/* Where the last one stands, once those have gone on who may not lag so far. */
static unsigned long go_on(struct source *source, unsigned long to)
{
	const int64_t now = clock_ms();
	unsigned long last = to;
	bool stalled = false, others = false;
	struct subscription *s;

	TAILQ_FOREACH(s, &source->subscriptions, of_source)
	{
		if (!source->stalled && s->at != to &&
		    !may_lag(&source->ring, s, now))
			pass_over(&source->ring, s, to);
		if ((long)(last - s->at) > 0)
			last = s->at;
		if (s->at != to && s->stalled_since != 0)
			stalled = true;
		else if (s->at != to)
			others = true;
		batch_send_if_due(s, now);
	}
	/* for poll(2) there is something to read, but nobody to read it */
	source->lags = stalled && !others && !source->stalled;
	return last;
}

/*
 * A program may hold back the first record for as long as it likes, if it may
 * sleep; poll(2) takes that for something to read.
 */
static void back_off(struct source *source, bool idle)
{
	source->idle_turns = idle ? source->idle_turns + 1 : 0;
	if (source->idle_turns >= MAX_IDLE_TURNS)
		source->lags = true;
}

void source_serve(struct source *source)
{
	struct ring *ring = &source->ring;
	const unsigned long begin = ring->released;
	unsigned long to, last;
	bool good;

	if (ring_is_stolen(ring)) {
		end_all(source, "stolen");
		return;
	}
	good = serve_all(source, &to);
	last = go_on(source, to);
	ring_release(ring, last);
	back_off(source, to == begin);
	if (!good)
		end_all(source, "broken");
}

void source_resume(struct source *source)
{
	source->stalled = false;
}

/* --- Opening ------------------------------------------------------------- */

static struct source *find(struct events *events, uint32_t id)
{
	struct source *source;

	TAILQ_FOREACH(source, &events->sources, entry)
	if (source->id == id)
		return source;
	return NULL;
}

int source_open(struct events *events, struct map *map, struct source **opened)
{
	struct source *source = find(events, map->resource.id);
	int error;

	if (source) {
		*opened = source;
		return 0;
	}
	source = calloc(1, sizeof(*source));
	if (!source)
		return -ENOMEM;
	error = ring_open(&source->ring, map);
	if (error < 0) {
		free(source);
		return error;
	}
	source->id = map->resource.id;
	source->map = map_ref(map);
	TAILQ_INIT(&source->subscriptions);
	TAILQ_INSERT_TAIL(&events->sources, source, entry);
	events->generation++;
	*opened = source;
	return 0;
}

void source_close(struct events *events, struct source *source)
{
	TAILQ_REMOVE(&events->sources, source, entry);
	events->generation++;
	ring_close(&source->ring);
	map_unref(source->map);
	free(source);
}
