/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of events:
 *
 *	{ebpf_events, Subscription, First, Lost, Runs}
 *
 * Runs is a list of {Size, Binary}, a binary being one or more records of that
 * size; or [{terms, Terms}], if the subscription has types. What is before
 * First is written once, and put before the list with the numbers, which are
 * known last.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "bpf/map.h"
#include "dist/control.h"
#include "events/events_internal.h"
#include "term/term_bytes.h"

#define NUMBERS_SIZE 24 /* of two numbers of 64 bits, as terms */
#define RUN_SIZE 24     /* of what is before the bytes of a run */
#define MAX_CPUS 1024   /* of the map in which a program counts */
#define END_SIZE 16     /* of what is behind the events of a message */
#define MOST_KEPT                                                              \
	((size_t)128 * 1024) /* bytes, of a buffer that nobody uses            \
			      */
#define RETRY_MS 100         /* after a lack of memory */
/* bytes by which a message grows beyond its size while its peer is busy */
#define MOST_BEHIND ((size_t)64 * 1024)

static size_t room_of(const struct subscription *s)
{
	return s->head_size + NUMBERS_SIZE;
}

static size_t most_bytes(const struct subscription *s)
{
	return s->peer->events->max_message - END_SIZE;
}

/* --- Events -------------------------------------------------------------- */

static bool begin(struct subscription *s)
{
	struct events *events = s->peer->events;
	struct batch *b = &s->batch;

	if (b->count > 0)
		return true;
	if (!b->out.buf) {
		b->out = events->spare;
		term_writer_init(&events->spare);
		b->out.account = &events->account;
	}
	term_writer_rewind(&b->out, 0);
	term_write_space(&b->out, room_of(s));
	b->list = term_write_list_open(&b->out);
	if (s->is_terms) {
		term_write_tuple(&b->out, 2);
		term_write_atom(&b->out, "terms");
		b->terms = term_write_list_open(&b->out);
	}
	b->elements = 0;
	b->run = 0;
	b->first = s->number;
	b->due = s->linger > 0 ? clock_ms() + s->linger : 0;
	return !b->out.failed;
}

static void end_run(struct batch *b)
{
	if (b->run > 0)
		put32(b->out.buf + b->run, (uint32_t)(b->out.pos - b->run - 4));
	b->run = 0;
}

static void begin_run(struct batch *b, size_t size)
{
	static const char binary[] = { ERL_BINARY_EXT, 0, 0, 0, 0 };

	end_run(b);
	term_write_tuple(&b->out, 2);
	term_write_uint(&b->out, size);
	term_write_raw(&b->out, binary, sizeof(binary));
	b->run = b->out.pos - 4;
	b->run_size = size;
	b->elements++;
}

/* Records of no bytes could not be counted in a run of several. */
static void add_bytes(struct batch *b, const struct ring_record *record)
{
	if (b->run == 0 || b->run_size != record->size || record->size == 0)
		begin_run(b, record->size);
	term_write_raw(&b->out, record->data, record->size);
}

/* Where a record is shorter than its type, zeros follow. */
static const char *as_typed(struct subscription *s,
			    const struct ring_record *record)
{
	const size_t size = s->types->value->size;

	if (record->size >= size)
		return record->data;
	memcpy(s->padded, record->data, record->size);
	memset(s->padded + record->size, 0, size - record->size);
	return s->padded;
}

static void add_term(struct subscription *s, const struct ring_record *record)
{
	const struct types *types = s->types;
	struct term_writer *w = &s->batch.out;

	if (!types)
		term_write_raw(w, record->data, record->size);
	else if (types->choice.members)
		decode_members(types->value, types->form, &types->choice,
			       as_typed(s, record), w);
	else
		decode(types->value, types->form, as_typed(s, record), w);
	s->batch.elements++;
}

/* One that no message can hold: it becomes a gap. */
static bool skip(struct subscription *s)
{
	s->number++;
	s->skipped++;
	return true;
}

/* False: there is no memory, and the batch is as it was. */
static bool add(struct subscription *s, const struct ring_record *record)
{
	struct batch *b = &s->batch;
	const struct batch before = *b;
	bool no_memory;

	if (!begin(s))
		goto failed;
	b->out.limit = most_bytes(s);
	if (s->is_terms)
		add_term(s, record);
	else
		add_bytes(b, record);
	b->out.limit = INT32_MAX;
	if (!b->out.failed) {
		b->count++;
		s->number++;
		s->bytes += record->size;
		if (s->credit != UINT64_MAX)
			s->credit -= record->size;
		return true;
	}
	/* run and elements as before; the buffer may have moved */
	b->elements = before.elements;
	b->run = before.run;
	b->run_size = before.run_size;
failed:
	b->out.limit = INT32_MAX;
	no_memory = b->out.no_memory;
	term_writer_rewind(&b->out, before.count > 0 ? before.out.pos : 0);
	if (b->count == 0)
		batch_free(s);
	if (!no_memory)
		return skip(s);
	s->peer->events->retry = clock_ms() + RETRY_MS;
	return false;
}

static size_t size_of(const struct subscription *s)
{
	return s->batch.count > 0 ? s->batch.out.pos - room_of(s) : 0;
}

/* The most that it takes in a message. */
static size_t most_of(const struct subscription *s,
		      const struct ring_record *record)
{
	return s->types ? s->types->most_of_value : record->size + RUN_SIZE;
}

/* Behind a gap, and where it would become too large, a new message begins. */
static bool must_begin_anew(const struct subscription *s,
			    const struct ring_record *record)
{
	const struct batch *b = &s->batch;

	return b->count > 0 &&
	       (b->first + b->count != s->number ||
		size_of(s) + most_of(s, record) > s->batch_size + MOST_BEHIND ||
		b->out.pos + most_of(s, record) > most_bytes(s));
}

bool batch_add(struct subscription *s, const struct ring_record *record)
{
	if (record->size > s->credit)
		return false;
	if (must_begin_anew(s, record) && !batch_send(s))
		return false;
	if (!add(s, record))
		return false;
	/* if not now, it is sent before the next one */
	if (size_of(s) >= s->batch_size)
		batch_send(s);
	return true;
}

/* --- Sending ------------------------------------------------------------- */

/* What the program has counted; of a map with a value for each CPU, in all. */
uint64_t batch_lost(const struct subscription *s)
{
	const struct events_lost *from = &s->lost;
	uint64_t values[MAX_CPUS] = { 0 }, sum = 0;

	if (!from->map || map_entry_size(from->map) > sizeof(values) ||
	    map_get(from->map, from->key, values) < 0)
		return 0;
	for (unsigned cpu = 0; cpu < from->map->cpus; cpu++)
		sum += values[cpu];
	return sum;
}

static void write_numbers(struct subscription *s, struct term_writer *w)
{
	term_writer_rewind(w, 0);
	term_write_uint(w, s->batch.first);
	if (s->lost.map)
		term_write_uint(w, batch_lost(s) - s->lost_before);
	else if (s->source->kind->tells_lost)
		term_write_uint(w, s->told_lost);
	else
		term_write_atom(w, "unknown");
}

static void close_lists(struct subscription *s)
{
	struct batch *b = &s->batch;

	if (s->is_terms)
		term_write_list_close(&b->out, b->terms, b->elements);
	term_write_list_close(&b->out, b->list, s->is_terms ? 1 : b->elements);
}

/* Puts the head before the list; the whole packet begins at *begin. */
static bool finish(struct subscription *s, size_t *begin)
{
	struct term_writer *numbers = &s->peer->events->scratch;
	struct batch *b = &s->batch;
	const struct term_writer unfinished = b->out;
	size_t run = b->run;

	end_run(b);
	close_lists(s);
	write_numbers(s, numbers);
	if (b->out.failed || numbers->failed) {
		term_writer_rewind(&b->out, unfinished.pos);
		b->run = run;
		return false;
	}
	*begin = room_of(s) - s->head_size - numbers->pos;
	memcpy(b->out.buf + *begin, s->head, s->head_size);
	memcpy(b->out.buf + *begin + s->head_size, numbers->buf, numbers->pos);
	control_end(&b->out, *begin);
	/* should it have to wait, more events may follow */
	b->run = 0;
	return true;
}

static void sent(struct subscription *s)
{
	s->sent += s->batch.count;
	s->messages++;
	s->batch.count = 0;
	batch_free(s);
}

bool batch_send(struct subscription *s)
{
	struct batch *b = &s->batch;
	size_t begin, end = b->out.pos;

	if (b->count == 0)
		return true;
	if (s->peer->state != PEER_FREE)
		return false;
	if (!finish(s, &begin)) {
		b->due = clock_ms() + RETRY_MS;
		return false;
	}
	if (!events_peer_send(s->peer, b->out.buf + begin,
			      b->out.pos - begin)) {
		term_writer_rewind(&b->out, end);
		return false;
	}
	sent(s);
	return true;
}

void batch_send_if_due(struct subscription *s, int64_t now)
{
	if (s->batch.count > 0 && s->batch.due <= now)
		batch_send(s);
}

void batch_to_notices(struct subscription *s)
{
	struct term_writer *notices = &s->peer->notices;
	size_t begin, pos = notices->pos;

	if (s->batch.count == 0 || pos > EVENTS_MAX_BATCH || !finish(s, &begin))
		return;
	term_write_raw(notices, s->batch.out.buf + begin,
		       s->batch.out.pos - begin);
	if (notices->failed)
		term_writer_rewind(notices, pos);
	else
		sent(s);
}

/* Keeps one buffer for the next batch of anybody. */
void batch_free(struct subscription *s)
{
	struct events *events = s->peer->events;
	struct batch *b = &s->batch;

	if (!events->spare.buf && b->out.capacity <= MOST_KEPT) {
		events->spare = b->out;
		term_writer_rewind(&events->spare, 0);
	} else {
		term_writer_fini(&b->out);
	}
	term_writer_init(&b->out);
	b->out.account = &events->account;
	b->count = 0;
}
