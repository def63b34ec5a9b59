/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads ring buffers as kernel/bpf/ringbuf.c lays them out: a page with the
 * consumer's position, one with the producer's, then the data, which is mapped
 * twice so that no record is cut. libbpf's reader needs epoll(7), and gives
 * out all that is there, however much its caller can take.
 */
#include "bpf/ring.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bpf/map.h"

#define ALIGNMENT 8u

typedef _Atomic unsigned long position;

static size_t page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

static unsigned long read_position(const void *page)
{
	return atomic_load_explicit((const position *)page,
				    memory_order_acquire);
}

static const char *data_of(const struct ring *ring)
{
	return (const char *)ring->producer + page_size();
}

static bool is_ring(const struct map *map)
{
	return map->type == BPF_MAP_TYPE_RINGBUF && map->max_entries > 0 &&
	       (map->max_entries & (map->max_entries - 1)) == 0;
}

int ring_open(struct ring *ring, const struct map *map)
{
	const size_t page = page_size();
	int fd = map->resource.fd;

	*ring = (struct ring){ .size = 0 };
	if (!is_ring(map))
		return -EINVAL;
	ring->consumer =
		mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (ring->consumer == MAP_FAILED)
		return -errno;
	ring->producer = mmap(NULL, page + 2 * (size_t)map->max_entries,
			      PROT_READ, MAP_SHARED, fd, (off_t)page);
	if (ring->producer == MAP_FAILED) {
		int error = -errno;

		munmap(ring->consumer, page);
		return error;
	}
	ring->size = map->max_entries;
	ring->released = read_position(ring->consumer);
	return 0;
}

void ring_close(struct ring *ring)
{
	const size_t page = page_size();

	if (ring->size == 0)
		return;
	munmap(ring->consumer, page);
	munmap(ring->producer, page + 2 * ring->size);
	ring->size = 0;
}

unsigned long ring_end(const struct ring *ring)
{
	return read_position(ring->producer);
}

/* The kernel writes all of this; of what programs write it depends nothing. */
enum ring_look ring_look(const struct ring *ring, unsigned long at,
			 struct ring_record *record)
{
	const unsigned long left = ring_end(ring) - at;
	const char *header = data_of(ring) + (at & (ring->size - 1));
	uint32_t length;
	size_t whole;

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
	whole = (record->size + BPF_RINGBUF_HDR_SZ + ALIGNMENT - 1) &
		~(size_t)(ALIGNMENT - 1);
	if (whole > left)
		return RING_BROKEN;
	record->next = at + whole;
	return RING_RECORD;
}

void ring_release(struct ring *ring, unsigned long at)
{
	if (at == ring->released)
		return;
	ring->released = at;
	atomic_store_explicit((position *)ring->consumer, at,
			      memory_order_release);
}

bool ring_is_stolen(const struct ring *ring)
{
	return read_position(ring->consumer) != ring->released;
}

int ring_fill(const struct map *map, uint64_t *bytes)
{
	const size_t page = page_size();
	unsigned long read, written;
	char *pages;

	if (map->type != BPF_MAP_TYPE_RINGBUF &&
	    map->type != BPF_MAP_TYPE_USER_RINGBUF)
		return -EINVAL;
	pages = mmap(NULL, 2 * page, PROT_READ, MAP_SHARED, map->resource.fd,
		     0);

	if (pages == MAP_FAILED)
		return -errno;
	/* in this order, so that it is never below zero */
	read = read_position(pages);
	written = read_position(pages + page);
	*bytes = written - read;
	munmap(pages, 2 * page);
	return 0;
}
