/* SPDX-License-Identifier: Apache-2.0 */
/* The log of this process as a ring, which a subscription reads as any other.
 */
#include "events/log_ring.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "term/term.h"

#define RING_SIZE 65536u
#define MAX_RECORD (RING_SIZE / 4)
#define MAX_TEXT 1536 /* bytes, as in the JSON of a line */

struct header {
	uint32_t size;
	uint32_t lost; /* lines before this one */
};

struct log_ring {
	_Atomic unsigned long end, begin;
	pthread_mutex_t lock; /* of lost, which goes with end */
	uint32_t lost;
	void (*written)(void *context);
	void *context;
	struct term_writer term;
	char data[RING_SIZE];
	char whole[sizeof(struct header) + MAX_RECORD];
};

/* --- Writing, by whoever logs: one at a time ------------------------------ */

static size_t space_of(size_t size)
{
	return (sizeof(struct header) + size + 7) & ~(size_t)7;
}

static void copy_in(struct log_ring *log, unsigned long at, const void *bytes,
		    size_t size)
{
	const size_t begin = at % RING_SIZE, before = RING_SIZE - begin;

	if (size <= before) {
		memcpy(log->data + begin, bytes, size);
		return;
	}
	memcpy(log->data + begin, bytes, before);
	memcpy(log->data, (const char *)bytes + before, size - before);
}

static void write_text(struct term_writer *w, const char *text)
{
	size_t size = strnlen(text, MAX_TEXT);

	term_write_binary(w, text, size);
}

/* Atoms are for the few fixed words: a node can have but so many. */
static void write_field(struct term_writer *w, const struct log_field *field)
{
	term_write_atom(w, field->key);
	if (!field->text)
		term_write_uint(w, field->number);
	else if (strcmp(field->key, "event") == 0)
		term_write_atom(w, field->text);
	else
		write_text(w, field->text);
}

/* A map has a key once. */
static bool is_repeated(const struct log_fields *fields, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (strcmp(fields->list[i].key, fields->list[at].key) == 0)
			return true;
	return false;
}

static void write_entry(struct term_writer *w, const struct log_entry *entry)
{
	const struct log_fields *fields = entry->fields;
	struct timespec now;
	size_t map = term_write_map_open(w);
	uint32_t count = 3;

	clock_gettime(CLOCK_REALTIME, &now);
	term_write_atom(w, "time");
	term_write_uint(w, (uint64_t)now.tv_sec * 1000000 +
				   (uint64_t)now.tv_nsec / 1000);
	term_write_atom(w, "level");
	term_write_atom(w, entry->level);
	for (size_t i = 0; i < fields->count; i++) {
		if (is_repeated(fields, i))
			continue;
		write_field(w, &fields->list[i]);
		count++;
	}
	term_write_atom(w, "message");
	write_text(w, entry->message);
	term_write_map_close(w, map, count);
}

static void tell(const struct log_entry *entry, void *context)
{
	struct log_ring *log = context;
	const unsigned long end = atomic_load(&log->end);
	struct header header = { .lost = log->lost };
	size_t space;

	term_writer_rewind(&log->term, 0);
	write_entry(&log->term, entry);
	space = space_of(log->term.pos);
	if (log->term.failed || log->term.pos > MAX_RECORD ||
	    space > RING_SIZE - (end - atomic_load(&log->begin))) {
		pthread_mutex_lock(&log->lock);
		log->lost++;
		pthread_mutex_unlock(&log->lock);
		return;
	}
	header.size = (uint32_t)log->term.pos;
	copy_in(log, end, &header, sizeof(header));
	copy_in(log, end + sizeof(header), log->term.buf, log->term.pos);
	pthread_mutex_lock(&log->lock);
	log->lost = 0;
	atomic_store(&log->end, end + space);
	pthread_mutex_unlock(&log->lock);
	log->written(log->context);
}

/* --- Reading -------------------------------------------------------------- */

static unsigned long end_of(const struct ring *ring)
{
	return atomic_load(&ring->log->end);
}

static void release(const struct ring *ring, unsigned long at)
{
	atomic_store(&ring->log->begin, at);
}

static enum ring_look look(const struct ring *ring, unsigned long at,
			   unsigned long end, struct ring_record *record)
{
	struct log_ring *log = ring->log;
	struct header header;

	if (at == end)
		return RING_EMPTY;
	memcpy(&header,
	       ring_whole(log->data, RING_SIZE, at, sizeof(header), log->whole),
	       sizeof(header));
	*record = (struct ring_record){
		.data = ring_whole(log->data, RING_SIZE, at + sizeof(header),
				   header.size, log->whole),
		.size = header.size,
		.lost = header.lost,
		.next = at + space_of(header.size),
	};
	return RING_RECORD;
}

uint64_t log_ring_lost(const struct ring *ring, unsigned long *end)
{
	uint32_t lost;

	pthread_mutex_lock(&ring->log->lock);
	lost = ring->log->lost;
	*end = atomic_load(&ring->log->end);
	pthread_mutex_unlock(&ring->log->lock);
	return lost;
}

/* --- All ------------------------------------------------------------------ */

bool log_ring_open(struct ring *ring, void (*written)(void *context),
		   void *context)
{
	static const struct ring_kind kind = {
		.end = end_of,
		.look = look,
		.release = release,
	};
	struct log_ring *log = calloc(1, sizeof(*log));

	if (!log)
		return false;
	log->written = written;
	log->context = context;
	term_writer_init(&log->term);
	pthread_mutex_init(&log->lock, NULL);
	*ring = (struct ring){
		.kind = &kind, .fd = -1, .size = RING_SIZE, .log = log
	};
	log_set_listener(tell, log);
	return true;
}

void log_ring_close(struct ring *ring)
{
	log_set_listener(NULL, NULL);
	term_writer_fini(&ring->log->term);
	pthread_mutex_destroy(&ring->log->lock);
	free(ring->log);
}
