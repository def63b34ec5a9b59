/* SPDX-License-Identifier: Apache-2.0 */
/* The mappings of ring buffers. */
#include "bpf/ring_pages.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bpf/map.h"

static size_t page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

static void *map_part(const struct map *map, size_t offset, size_t size,
		      bool writes)
{
	return mmap(NULL, size, writes ? PROT_READ | PROT_WRITE : PROT_READ,
		    MAP_SHARED, map->resource.fd, (off_t)offset);
}

int ring_pages_open(struct ring_pages *pages, const struct map *map)
{
	const bool by_user = map->type == BPF_MAP_TYPE_USER_RINGBUF;
	const size_t page = page_size();
	int error;

	*pages = (struct ring_pages){ .size = 0 };
	pages->consumer = map_part(map, 0, page, !by_user);
	if (pages->consumer == MAP_FAILED)
		return -errno;
	pages->producer = map_part(
		map, page, page + 2 * (size_t)map->max_entries, by_user);
	if (pages->producer == MAP_FAILED) {
		error = -errno;
		munmap(pages->consumer, page);
		return error;
	}
	pages->size = map->max_entries;
	pages->data = (char *)pages->producer + page;
	return 0;
}

void ring_pages_close(struct ring_pages *pages)
{
	const size_t page = page_size();

	if (pages->size == 0)
		return;
	munmap(pages->consumer, page);
	munmap(pages->producer, page + 2 * pages->size);
	pages->size = 0;
}

int ring_fill(const struct map *map, uint64_t *bytes)
{
	const size_t page = page_size();
	unsigned long read, written;
	char *pages;

	if (map->type != BPF_MAP_TYPE_RINGBUF &&
	    map->type != BPF_MAP_TYPE_USER_RINGBUF)
		return -EINVAL;
	pages = map_part(map, 0, 2 * page, false);
	if (pages == MAP_FAILED)
		return -errno;
	/* in this order, so that it is never below zero */
	read = ring_position(pages);
	written = ring_position(pages + page);
	*bytes = written - read;
	munmap(pages, 2 * page);
	return 0;
}
