/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads perf event arrays: perf_event_open(2), section "MMAP layout". A page
 * with positions, then the data, which is mapped once: the kernel refuses a
 * second mapping over a part of the first. So a record over the end of the data
 * is copied. libbpf's reader needs epoll(7) and an ioctl(2), and gives out all
 * that is there.
 */
#include "bpf/perf_rings.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bpf/map.h"

#define MAX_RECORD 65536 /* bytes: its header has 16 bits for them */

struct perf_buffer {
	struct perf_event_mmap_page *page;
	const char *data;
	size_t page_size;
	uint32_t cpu;
};

/* --- Reading ------------------------------------------------------------- */

static unsigned long end_of(const struct ring *ring)
{
	return (unsigned long)atomic_load_explicit(
		(const _Atomic __u64 *)&ring->perf->page->data_head,
		memory_order_acquire);
}

static void release(const struct ring *ring, unsigned long at)
{
	atomic_store_explicit((_Atomic __u64 *)&ring->perf->page->data_tail, at,
			      memory_order_release);
}

/*
 * The header of a record never lies over the end: both are multiples of 8. What
 * is copied is read before the next look, and by one thread.
 */
static const char *record_at(const struct ring *ring, unsigned long at,
			     size_t size)
{
	static char whole[MAX_RECORD];

	return ring_whole(ring->perf->data, ring->size, at, size, whole);
}

/* The program's bytes, and up to 7 that fill a word; false: it cannot be. */
static bool read_sample(const char *bytes, size_t size,
			struct ring_record *record)
{
	uint32_t length;

	if (size < sizeof(length))
		return false;
	memcpy(&length, bytes, sizeof(length));
	record->data = bytes + sizeof(length);
	record->size = length;
	record->discarded = false;
	return length <= size - sizeof(length);
}

static bool read_lost(const char *bytes, size_t size,
		      struct ring_record *record)
{
	struct {
		__u64 id, lost;
	} body;

	if (size < sizeof(body))
		return false;
	memcpy(&body, bytes, sizeof(body));
	record->lost = body.lost;
	return true;
}

static enum ring_look look(const struct ring *ring, unsigned long at,
			   unsigned long end, struct ring_record *record)
{
	const unsigned long left = end - at;
	struct perf_event_header header;
	const char *bytes;
	bool good = true;

	if (left == 0)
		return RING_EMPTY;
	if (left > ring->size || left < sizeof(header))
		return RING_BROKEN;
	memcpy(&header, record_at(ring, at, sizeof(header)), sizeof(header));
	if (header.size < sizeof(header) || header.size > left ||
	    header.size % 8 != 0)
		return RING_BROKEN;
	*record = (struct ring_record){ .discarded = true,
					.next = at + header.size };
	bytes = record_at(ring, at, header.size) + sizeof(header);
	if (header.type == PERF_RECORD_SAMPLE)
		good = read_sample(bytes, header.size - sizeof(header), record);
	else if (header.type == PERF_RECORD_LOST)
		good = read_lost(bytes, header.size - sizeof(header), record);
	return good ? RING_RECORD : RING_BROKEN;
}

/* --- Opening ------------------------------------------------------------- */

static const struct ring_kind kind = {
	.end = end_of,
	.look = look,
	.release = release,
};

static void unmap(struct ring *ring)
{
	munmap(ring->perf->page, ring->perf->page_size + ring->size);
	free(ring->perf);
}

static int map_event(const struct perf_event *event, uint32_t size,
		     struct ring *ring)
{
	const size_t page_size = (size_t)sysconf(_SC_PAGESIZE);
	struct perf_buffer *perf = malloc(sizeof(*perf));
	void *page;
	int error;

	if (!perf)
		return -ENOMEM;
	/* who may write to the positions tells the kernel what was read */
	page = mmap(NULL, page_size + size, PROT_READ | PROT_WRITE, MAP_SHARED,
		    event->fd, 0);
	if (page == MAP_FAILED) {
		error = -errno;
		free(perf);
		return error;
	}
	perf->page = page;
	perf->page_size = page_size;
	perf->data = (const char *)page + page_size;
	perf->cpu = event->cpu;
	*ring = (struct ring){
		.kind = &kind, .fd = event->fd, .size = size, .perf = perf
	};
	return 0;
}

/* The kernel says EPERM of a descriptor that may only read, too. */
static bool is_frozen(const struct map *map)
{
	struct map_info info;

	return map_get_info(map, &info) == 0 && info.frozen;
}

static int open_one(const struct map *map, const struct perf_event *event,
		    uint32_t buffer, struct ring *ring)
{
	int error = map_event(event, buffer, ring);

	if (error < 0)
		return error;
	error = bpf_map_update_elem(map->resource.fd, &event->cpu, &event->fd,
				    BPF_ANY);
	if (error < 0)
		unmap(ring);
	return error == -EPERM && !is_frozen(map) ? -EACCES : error;
}

int perf_rings_open(const struct map *map, const struct perf_event *events,
		    unsigned *count, uint32_t buffer, struct ring *rings)
{
	const unsigned given = *count;
	unsigned made = 0;
	int error = 0;
	bool is_used;

	for (unsigned i = 0; i < given; i++) {
		is_used = error == 0 && events[i].cpu < map->max_entries;
		if (is_used)
			error = open_one(map, &events[i], buffer, &rings[made]);
		if (is_used && error == 0)
			made++;
		else
			close(events[i].fd);
	}
	if (error == 0 && made == 0)
		error = -ENODEV;
	if (error < 0)
		perf_rings_close(map, rings, made);
	*count = made;
	return error;
}

void perf_rings_close(const struct map *map, struct ring *rings, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		bpf_map_delete_elem(map->resource.fd, &rings[i].perf->cpu);
		unmap(&rings[i]);
		close(rings[i].fd);
	}
}
