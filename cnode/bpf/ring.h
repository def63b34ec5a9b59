/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RING_H
#define RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map;

/*
 * The one reader of a ring buffer (BPF_MAP_TYPE_RINGBUF), by a mapping of it.
 * Positions are counts of bytes since the ring was made, modulo the size of an
 * unsigned long; ring->size is a power of two.
 */
struct ring {
	size_t size; /* bytes of data; 0: not open */
	void *consumer;
	void *producer;         /* a page, and behind it the data, twice */
	unsigned long released; /* the consumer's position, as we wrote it */
};

struct ring_record {
	const void *data;
	size_t size;
	bool discarded;     /* by the program: there is no record */
	unsigned long next; /* position behind it */
};

enum ring_look {
	RING_EMPTY, /* no record, or the program has not yet submitted it */
	RING_RECORD,
	RING_BROKEN, /* what is there cannot be */
};

/*
 * 0 or -errno: -EACCES: the map's descriptor cannot both read and write;
 * -EPERM: it is frozen; -EINVAL: it is no ring buffer; -ENOMEM. The map must
 * stay open.
 */
int ring_open(struct ring *ring, const struct map *map);
void ring_close(struct ring *ring);

/* Behind the last record, submitted or not. */
unsigned long ring_end(const struct ring *ring);

/* The record at a position, which is one that this reader came to. */
enum ring_look ring_look(const struct ring *ring, unsigned long position,
			 struct ring_record *record);

/* Gives the space before a position back to programs. */
void ring_release(struct ring *ring, unsigned long position);

/* Whether somebody else reads it, too, and so has moved the position. */
bool ring_is_stolen(const struct ring *ring);

/*
 * The bytes that wait in a ring buffer, of either kind, without reading any.
 * 0 or -errno, as ring_open().
 */
int ring_fill(const struct map *map, uint64_t *bytes);

#endif
