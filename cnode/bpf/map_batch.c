/* SPDX-License-Identifier: Apache-2.0 */
/* Many entries in one system call, where the kernel has that for a type. */
#include <bpf/bpf.h>
#include <errno.h>

#include "bpf/map.h"
#include "bpf/map_lock.h"

enum batch_kind {
	BATCH_GET,
	BATCH_TAKE,
	BATCH_PUT
};

static int do_batch(struct map *map, struct map_batch *b, enum batch_kind kind)
{
	LIBBPF_OPTS(bpf_map_batch_opts, options, .elem_flags = map->access);

	switch (kind) {
	case BATCH_GET:
		return bpf_map_lookup_batch(map->resource.fd, b->cursor,
					    b->next_cursor, b->keys, b->values,
					    &b->count, &options);
	case BATCH_TAKE:
		return bpf_map_lookup_and_delete_batch(
			map->resource.fd, b->cursor, b->next_cursor, b->keys,
			b->values, &b->count, &options);
	case BATCH_PUT:
		return bpf_map_update_batch(map->resource.fd, b->keys,
					    b->values, &b->count, &options);
	}
	return -EINVAL;
}

/* Kernels before 5.6 have no batches; later ones lack them for some types. */
static bool is_unsupported(int error)
{
	return error == -EINVAL || error == -ENOTSUP ||
	       error == -KERNEL_ENOTSUPP;
}

/* A batch that fails before its first entry leaves count unchanged. */
static uint32_t count_done(int error, enum batch_kind kind, uint32_t count,
			   uint32_t capacity)
{
	if (error == 0 || (error == -ENOENT && kind != BATCH_PUT) ||
	    (error == -EINTR && kind == BATCH_GET))
		return count;
	return kind == BATCH_PUT && count < capacity ? count : 0;
}

/*
 * Kernels before 6.14 stop a batch with EINTR at a key without a value, after
 * the entries before it. In an array of maps that is an empty slot, which the
 * next batch hits again; in a trie, a key deleted in the meantime.
 */
static int end_at_hole(struct map *map, const struct map_batch *b)
{
	if (b->count > 0)
		return 0;
	if (map->traits & MAP_HOLES)
		atomic_store(&map->no_batch[BATCH_GET], true);
	return -ENOTSUP;
}

static int batch(struct map *map, struct map_batch *b, enum batch_kind kind)
{
	uint32_t capacity = b->count;
	int error;

	if (atomic_load(&map->no_batch[kind])) {
		b->count = 0;
		return -ENOTSUP;
	}
	error = do_batch(map, b, kind);
	b->count = count_done(error, kind, b->count, capacity);
	/* with a cursor or after an entry, EINVAL is not about support */
	if (is_unsupported(error) && b->count == 0 &&
	    (!b->cursor || error != -EINVAL)) {
		atomic_store(&map->no_batch[kind], true);
		return -ENOTSUP;
	}
	if (error == -EINTR && kind == BATCH_GET)
		error = end_at_hole(map, b);
	return b->count > capacity ? -EIO : error;
}

int map_get_batch(struct map *map, struct map_batch *b)
{
	return batch(map, b, BATCH_GET);
}

int map_take_batch(struct map *map, struct map_batch *b)
{
	int error;

	lock_map(map);
	error = batch(map, b, BATCH_TAKE);
	unlock_map(map);
	return error;
}

int map_put_batch(struct map *map, struct map_batch *b)
{
	int error;

	/* each put may scan all earlier ones; a batch cannot be interrupted */
	if (map->traits & MAP_NO_SEED) {
		b->count = 0;
		return -ENOTSUP;
	}
	lock_map(map);
	error = batch(map, b, BATCH_PUT);
	unlock_map(map);
	return error;
}
