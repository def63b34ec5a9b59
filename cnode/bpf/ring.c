/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads ring buffers. libbpf's reader needs epoll(7), and gives out all that is
 * there, however much its caller can take.
 */
#include "bpf/ring.h"

#include <errno.h>

#include "bpf/map.h"

static unsigned long end_of(const struct ring *ring)
{
	return ring_position(ring->pages.producer);
}

/* The kernel writes all of this; on what programs write it nothing depends. */
static enum ring_look look(const struct ring *ring, unsigned long at,
			   unsigned long end, struct ring_record *record)
{
	const unsigned long left = end - at;
	const char *header = ring_header(&ring->pages, at);
	uint32_t length;
	size_t space;

	if (left == 0)
		return RING_EMPTY;
	if (left > ring->size)
		return RING_BROKEN;
	length = atomic_load_explicit(
		(const _Atomic uint32_t *)(const void *)header,
		memory_order_acquire);
	if (length & BPF_RINGBUF_BUSY_BIT)
		return RING_EMPTY;
	record->discarded = (length & BPF_RINGBUF_DISCARD_BIT) != 0;
	record->size = length & ~(uint32_t)BPF_RINGBUF_DISCARD_BIT;
	record->data = header + BPF_RINGBUF_HDR_SZ;
	record->lost = 0;
	space = ring_space(record->size);
	if (space > left)
		return RING_BROKEN;
	record->next = at + space;
	return RING_RECORD;
}

static void release(const struct ring *ring, unsigned long at)
{
	ring_set_position(ring->pages.consumer, at);
}

static bool is_stolen(const struct ring *ring)
{
	return ring_position(ring->pages.consumer) != ring->released;
}

int ring_open(struct ring *ring, const struct map *map)
{
	static const struct ring_kind kind = {
		.end = end_of,
		.look = look,
		.release = release,
		.is_stolen = is_stolen,
	};
	int error;

	if (map->type != BPF_MAP_TYPE_RINGBUF)
		return -EINVAL;
	*ring = (struct ring){ .kind = &kind, .fd = map->resource.fd };
	error = ring_pages_open(&ring->pages, map);
	if (error < 0)
		return error;
	ring->size = ring->pages.size;
	ring->released = ring_position(ring->pages.consumer);
	return 0;
}

void ring_close(struct ring *ring)
{
	ring_pages_close(&ring->pages);
}
