/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes to user ring buffers as kernel/bpf/ringbuf.c lays them out: see
 * ring.c, with the parts of reader and writer exchanged.
 */
#include "bpf/user_ring.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bpf/map.h"
#include "bpf/map_lock.h"

#define ALIGNMENT 8u

typedef _Atomic unsigned long position;

struct user_ring {
	size_t size; /* bytes of data */
	void *consumer;
	char *producer; /* a page, and behind it the data, twice */
	size_t page;
};

static int open_ring(const struct map *map, struct user_ring *ring)
{
	int fd = map->resource.fd, error;

	ring->page = (size_t)sysconf(_SC_PAGESIZE);
	ring->size = map->max_entries;
	ring->consumer = mmap(NULL, ring->page, PROT_READ, MAP_SHARED, fd, 0);
	if (ring->consumer == MAP_FAILED)
		return -errno;
	ring->producer =
		mmap(NULL, ring->page + 2 * ring->size, PROT_READ | PROT_WRITE,
		     MAP_SHARED, fd, (off_t)ring->page);
	if (ring->producer != MAP_FAILED)
		return 0;
	error = -errno;
	munmap(ring->consumer, ring->page);
	return error;
}

static int open_once(struct map *map)
{
	struct user_ring *ring;
	int error;

	if (map->user_ring)
		return 0;
	ring = calloc(1, sizeof(*ring));
	if (!ring)
		return -ENOMEM;
	error = open_ring(map, ring);
	if (error < 0)
		free(ring);
	else
		map->user_ring = ring;
	return error;
}

void user_ring_free(struct user_ring *ring)
{
	if (!ring)
		return;
	munmap(ring->consumer, ring->page);
	munmap(ring->producer, ring->page + 2 * ring->size);
	free(ring);
}

/* Each position is written by one side, and read by the other. */
static int push(const struct user_ring *ring, const void *data, size_t size)
{
	position *consumer = ring->consumer;
	position *producer = (position *)(void *)ring->producer;
	const size_t whole = (size + BPF_RINGBUF_HDR_SZ + ALIGNMENT - 1) &
			     ~(size_t)(ALIGNMENT - 1);
	unsigned long read =
		atomic_load_explicit(consumer, memory_order_acquire);
	unsigned long at = atomic_load_explicit(producer, memory_order_relaxed);
	char *header = ring->producer + ring->page + (at & (ring->size - 1));
	const uint32_t length[2] = { (uint32_t)size, 0 };

	if (whole > ring->size)
		return -E2BIG;
	if (at - read > ring->size - whole)
		return -ENOSPC;
	/* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): mmap(2) */
	memcpy(header, length, sizeof(length));
	if (size > 0)
		memcpy(header + BPF_RINGBUF_HDR_SZ, data, size);
	atomic_store_explicit(producer, at + whole, memory_order_release);
	return 0;
}

int user_ring_push(struct map *map, const void *data, size_t size)
{
	int error;

	if (map->type != BPF_MAP_TYPE_USER_RINGBUF || !map->lock)
		return -EOPNOTSUPP;
	if (size > map->max_entries)
		return -E2BIG;
	map_lock_take(map->lock);
	error = open_once(map);
	if (error == 0)
		error = push(map->user_ring, data, size);
	map_lock_release(map->lock);
	return error;
}
