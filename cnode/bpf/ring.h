/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RING_H
#define RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/ring_pages.h"

struct map;

/*
 * The one reader of a ring buffer (BPF_MAP_TYPE_RINGBUF), by a mapping of it.
 * Positions are counts of bytes since the ring was made, modulo the size of an
 * unsigned long.
 */
struct ring {
	struct ring_pages pages;
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

/* 0 or -errno: -EINVAL: it is no ring buffer; otherwise as ring_pages_open().
 */
int ring_open(struct ring *ring, const struct map *map);
void ring_close(struct ring *ring);

/* Behind the last record, submitted or not. */
unsigned long ring_end(const struct ring *ring);

/*
 * The record at a position, which is one that this reader came to, before an
 * end that ring_end() has told.
 */
enum ring_look ring_look(const struct ring *ring, unsigned long position,
			 unsigned long end, struct ring_record *record);

/* Gives the space before a position back to programs. */
void ring_release(struct ring *ring, unsigned long position);

/* Whether somebody else reads it, too, and so has moved the position. */
bool ring_is_stolen(const struct ring *ring);

#endif
