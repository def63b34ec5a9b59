/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RING_PAGES_H
#define RING_PAGES_H

#include <linux/bpf.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct map;

/*
 * A ring buffer as kernel/bpf/ringbuf.c lays it out: a page with the consumer's
 * position, one with the producer's, then the data, which is mapped twice so
 * that no record is cut. Of a ring buffer the consumer's page is ours to write,
 * of a user ring buffer the producer's and the data.
 */
struct ring_pages {
	size_t size; /* bytes of data, a power of two; 0: not open */
	void *consumer;
	void *producer; /* and behind this page the data */
	char *data;
};

/*
 * 0 or -errno: -EACCES: the map's descriptor cannot both read and write;
 * -EPERM: it is frozen; -ENOMEM. The map is one of these two types, and must
 * stay open.
 */
int ring_pages_open(struct ring_pages *pages, const struct map *map);
void ring_pages_close(struct ring_pages *pages);

/*
 * The bytes that wait in a ring buffer of either type, without reading any, nor
 * mapping the data. 0 or -errno: -EINVAL: it is no ring buffer.
 */
int ring_fill(const struct map *map, uint64_t *bytes);

/* Each is written by one side, and read by the other. */
static inline unsigned long ring_position(const void *page)
{
	return atomic_load_explicit((const _Atomic unsigned long *)page,
				    memory_order_acquire);
}

static inline void ring_set_position(void *page, unsigned long at)
{
	atomic_store_explicit((_Atomic unsigned long *)page, at,
			      memory_order_release);
}

static inline char *ring_header(const struct ring_pages *pages,
				unsigned long at)
{
	return pages->data + (at & (pages->size - 1));
}

/* Bytes that a record takes, with its header. */
static inline size_t ring_space(size_t size)
{
	return (size + BPF_RINGBUF_HDR_SZ + 7) & ~(size_t)7;
}

#endif
