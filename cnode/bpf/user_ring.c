/* SPDX-License-Identifier: Apache-2.0 */
/* Writes to user ring buffers, as programs do to ring buffers. */
#include "bpf/user_ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/map.h"
#include "bpf/map_lock.h"
#include "bpf/ring_pages.h"

static int open_once(struct map *map)
{
	struct ring_pages *ring;
	int error;

	if (map->user_ring)
		return 0;
	ring = calloc(1, sizeof(*ring));
	if (!ring)
		return -ENOMEM;
	error = ring_pages_open(ring, map);
	if (error < 0)
		free(ring);
	else
		map->user_ring = ring;
	return error;
}

void user_ring_free(struct ring_pages *ring)
{
	if (!ring)
		return;
	ring_pages_close(ring);
	free(ring);
}

static int push(const struct ring_pages *ring, const void *data, size_t size)
{
	const size_t space = ring_space(size);
	const uint32_t length[2] = { (uint32_t)size, 0 };
	unsigned long read = ring_position(ring->consumer);
	unsigned long at = ring_position(ring->producer);
	char *header = ring_header(ring, at);

	if (space > ring->size)
		return -E2BIG;
	if (at - read > ring->size - space)
		return -ENOSPC;
	memcpy(header, length, sizeof(length));
	if (size > 0)
		memcpy(header + BPF_RINGBUF_HDR_SZ, data, size);
	ring_set_position(ring->producer, at + space);
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
