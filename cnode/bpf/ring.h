/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RING_H
#define RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "bpf/ring_pages.h"

struct map;
struct ring;

/* Positions are counts of bytes since the ring was made, modulo the size of an
 * unsigned long. */
struct ring_record {
	const void *data; /* until the next look at any ring */
	size_t size;
	uint64_t lost;      /* records, before this one, by the kernel's word */
	bool discarded;     /* there is none: the program did not submit it */
	unsigned long next; /* position behind it */
};

enum ring_look {
	RING_EMPTY, /* no record, or the program has not yet submitted it */
	RING_RECORD,
	RING_BROKEN, /* what is there cannot be */
};

/* The kinds of rings: a table for each. */
struct ring_kind {
	unsigned long (*end)(const struct ring *ring);
	enum ring_look (*look)(const struct ring *ring, unsigned long position,
			       unsigned long end, struct ring_record *record);
	void (*release)(const struct ring *ring, unsigned long position);
	/* NULL: nobody else can read it */
	bool (*is_stolen)(const struct ring *ring);
};

/* The one reader of a ring, by a mapping of it. */
struct ring {
	const struct ring_kind *kind;
	int fd;                 /* for poll(2); -1: none */
	size_t size;            /* bytes of data, a power of two */
	unsigned long released; /* the consumer's position, as we wrote it */
	struct ring_pages pages;
	struct perf_buffer *perf; /* of a perf event: perf_rings.c */
	struct log_ring *log;     /* events/log_ring.c */
};

/* Bytes of data that is mapped once; where they go over its end, copied. */
static inline const char *ring_whole(const char *data, size_t data_size,
				     unsigned long position, size_t size,
				     char *copy)
{
	const size_t begin = position & (data_size - 1);
	const size_t before = data_size - begin;

	if (size <= before)
		return data + begin;
	memcpy(copy, data + begin, before);
	memcpy(copy + before, data, size - before);
	return copy;
}

/*
 * A ring buffer (BPF_MAP_TYPE_RINGBUF). 0 or -errno: -EINVAL: it is none;
 * otherwise as ring_pages_open().
 */
int ring_open(struct ring *ring, const struct map *map);
void ring_close(struct ring *ring);

/* Behind the last record, submitted or not. */
static inline unsigned long ring_end(const struct ring *ring)
{
	return ring->kind->end(ring);
}

/*
 * The record at a position, which is one that this reader came to, before an
 * end that ring_end() has told.
 */
static inline enum ring_look ring_look(const struct ring *ring,
				       unsigned long position,
				       unsigned long end,
				       struct ring_record *record)
{
	return ring->kind->look(ring, position, end, record);
}

/* Gives the space before a position back to programs. */
static inline void ring_release(struct ring *ring, unsigned long position)
{
	if (position == ring->released)
		return;
	ring->released = position;
	ring->kind->release(ring, position);
}

/* Whether somebody else reads it, too, and so has moved the position. */
static inline bool ring_is_stolen(const struct ring *ring)
{
	return ring->kind->is_stolen && ring->kind->is_stolen(ring);
}

#endif
