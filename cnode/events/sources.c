/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rings that somebody subscribes to. In a turn each subscription is served by
 * itself, from where the ring stands, as far as it can take what is there. The
 * ring then goes on to where the first of them came: the others are passed over
 * for what is before that. If none can take anything, all stays in the ring.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "bpf/map.h"
#include "events/events_internal.h"

#define TURN_SIZE 65536      /* bytes of a ring */
#define TURN_NS (200 * 1000) /* for the filter and the types of a subscription */
#define LOOK_AT_CLOCK 16     /* records until the next one */

struct turn {
	struct source *source;
	unsigned long begin;
	bool broken;
};

/* --- Time --------------------------------------------------------------------- */

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
	return may_take_long(s) ? (struct watch){ clock_ns() + TURN_NS,
						  thread_ns() }
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

/* --- A turn ------------------------------------------------------------------- */

/* False: it can take no more. */
static bool take(struct subscription *s, const struct ring_record *record)
{
	if (!filter_matches(&s->filter, record->data, record->size)) {
		s->filtered++;
		return true;
	}
	return batch_add(s, record);
}

/* Moves s->at behind what it has taken, or does not want. */
static void serve_one(struct turn *turn, struct subscription *s)
{
	const struct ring *ring = &turn->source->ring;
	struct watch watch = start_watch(s);
	struct ring_record record;
	enum ring_look look;

	s->stalled = false;
	s->at = turn->begin;
	/* what was in the ring before it began is not its own */
	if ((long)(s->from - s->at) > 0)
		s->at = s->from;
	for (unsigned n = 1; s->at - turn->begin < TURN_SIZE; n++) {
		look = ring_look(ring, s->at, &record);
		if (look == RING_EMPTY)
			return;
		if (look == RING_BROKEN) {
			turn->broken = true;
			return;
		}
		if (!record.discarded && !take(s, &record)) {
			s->stalled = true;
			s->stalls++;
			return;
		}
		s->at = record.next;
		if (n % LOOK_AT_CLOCK == 0 && is_over(&watch))
			return;
	}
}

/* What its filter drops, it has not missed. */
static void pass_over(struct turn *turn, struct subscription *s,
		      unsigned long to)
{
	struct ring_record record;

	while ((long)(to - s->at) > 0 &&
	       ring_look(&turn->source->ring, s->at, &record) == RING_RECORD) {
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
	s->from = to;
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

static unsigned long serve_all(struct turn *turn)
{
	unsigned long to = turn->begin;
	struct subscription *s;

	TAILQ_FOREACH(s, &turn->source->subscriptions, of_source)
	{
		serve_one(turn, s);
		if ((long)(s->at - to) > 0)
			to = s->at;
	}
	return to;
}

/* Nobody is able to take what is there. */
static bool is_stalled(const struct source *source)
{
	const struct subscription *s;

	TAILQ_FOREACH(s, &source->subscriptions, of_source)
	if (!s->stalled)
		return false;
	return true;
}

void source_serve(struct source *source)
{
	struct turn turn = { source, source->ring.released, false };
	struct subscription *s;
	int64_t now;
	unsigned long to;

	if (ring_is_stolen(&source->ring)) {
		end_all(source, "stolen");
		return;
	}
	to = serve_all(&turn);
	source->stalled = to == turn.begin && is_stalled(source);
	now = clock_ms();
	TAILQ_FOREACH(s, &source->subscriptions, of_source)
	{
		pass_over(&turn, s, to);
		batch_send_if_due(s, now);
	}
	ring_release(&source->ring, to);
	if (turn.broken)
		end_all(source, "broken");
}

void source_resume(struct source *source)
{
	source->stalled = false;
}

/* --- Opening ----------------------------------------------------------------- */

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
