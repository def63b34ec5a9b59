/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations on an open kernel map, through libbpf: bytes in, bytes or -errno
 * out. Knows no terms, peers or handles. The caller checks sizes.
 */
#include "bpf/map.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- Locks: one per map id, shared by all handles of that map ----------- */

#define LOCK_BUCKETS 1024

struct map_lock {
	pthread_mutex_t mutex;
	uint32_t id;
	unsigned users;
	LIST_ENTRY(map_lock) entry;
};

static LIST_HEAD(lock_bucket, map_lock) lock_buckets[LOCK_BUCKETS]; /* by id */
static pthread_mutex_t locks_mutex = PTHREAD_MUTEX_INITIALIZER;

static struct map_lock *find_or_add_lock(uint32_t id)
{
	struct lock_bucket *bucket = &lock_buckets[id % LOCK_BUCKETS];
	struct map_lock *lock;

	LIST_FOREACH(lock, bucket, entry)
	if (lock->id == id)
		return lock;
	lock = calloc(1, sizeof(*lock));
	if (!lock)
		return NULL;
	pthread_mutex_init(&lock->mutex, NULL);
	lock->id = id;
	LIST_INSERT_HEAD(bucket, lock, entry);
	return lock;
}

struct map_lock *map_lock_open(uint32_t id)
{
	struct map_lock *lock;

	pthread_mutex_lock(&locks_mutex);
	lock = find_or_add_lock(id);
	if (lock)
		lock->users++;
	pthread_mutex_unlock(&locks_mutex);
	return lock;
}

static void lock_close(struct map_lock *lock)
{
	if (!lock)
		return;
	pthread_mutex_lock(&locks_mutex);
	if (--lock->users == 0) {
		LIST_REMOVE(lock, entry);
		pthread_mutex_destroy(&lock->mutex);
		free(lock);
	}
	pthread_mutex_unlock(&locks_mutex);
}

static void lock_map(struct map *map)
{
	if (map->lock)
		pthread_mutex_lock(&map->lock->mutex);
}

static void unlock_map(struct map *map)
{
	if (map->lock)
		pthread_mutex_unlock(&map->lock->mutex);
}

/* --- References --------------------------------------------------------- */

static void free_map(struct resource *resource)
{
	struct map *map = (struct map *)resource;

	lock_close(map->lock);
	free(map);
}

const struct resource_kind map_kind = {
	.name = "map",
	.describe = map_describe,
	.free = free_map,
};

size_t map_entry_size(const struct map *map)
{
	return map->value_stride * map->cpus;
}

/* --- Operations --------------------------------------------------------- */

static const void *kernel_key(const struct map *map, const void *key)
{
	return map->key_size ? key : NULL;
}

/*
 * -EOPNOTSUPP for every operation that a type lacks; the kernel also has
 * 524, and EINVAL for types without entries.
 */
static int operation_error(const struct map *map, int error)
{
	return error == -EINVAL && map->traits & MAP_NO_ENTRIES
		       ? -EOPNOTSUPP
		       : map_error(error);
}

/*
 * The kernel looks up hash types without a lock: if an element is replaced and
 * reused during the lookup, the bucket walk continues behind the new one and
 * can miss a key that was never deleted (5 of 9.6 million, Linux 6.18). So
 * -ENOENT counts only the second time.
 */
static int lookup_entry(struct map *map, const void *key, void *value)
{
	int error, times = map->traits & MAP_BUCKETS ? 2 : 1;

	do {
		error = bpf_map_lookup_elem_flags(map->resource.fd,
						  kernel_key(map, key), value,
						  map->access);
	} while (error == -ENOENT && --times > 0);
	return operation_error(map, error);
}

/* flags: BPF_ANY, BPF_EXIST or BPF_NOEXIST. */
static int write_entry(struct map *map, const void *key, const void *value,
		       uint64_t flags)
{
	if (map->traits & MAP_NO_PUT)
		return -EOPNOTSUPP;
	return operation_error(
		map, bpf_map_update_elem(map->resource.fd, kernel_key(map, key),
					 value, flags | map->access));
}

static int delete_entry(struct map *map, const void *key)
{
	return operation_error(map, bpf_map_delete_elem(map->resource.fd,
							kernel_key(map, key)));
}

int map_get(struct map *map, const void *key, void *value)
{
	return lookup_entry(map, key, value);
}

int map_put(struct map *map, const void *key, const void *value)
{
	int error;

	lock_map(map);
	error = write_entry(map, key, value, BPF_ANY);
	unlock_map(map);
	return error;
}

/* An index past the end, or a prefix longer than the address. */
static bool is_out_of_range(const struct map *map, const void *key)
{
	uint32_t number;

	if (map->key_size < sizeof(number))
		return false;
	memcpy(&number, key, sizeof(number));
	if (map->traits & MAP_INDEXED)
		return number >= map->max_entries;
	return map->traits & MAP_PREFIX_LOOKUP &&
	       number > 8 * (map->key_size - sizeof(number));
}

/* Some types return EINVAL or E2BIG for a key that can never exist. */
static bool is_impossible(const struct map *map, const void *key, int error)
{
	if (map->key_size == 0)
		return false;
	/* maps of sockets return EINVAL for an empty slot, too */
	if (error == -EINVAL)
		return map->traits & MAP_VALUE_IS_SOCKET ||
		       is_out_of_range(map, key);
	return error == -E2BIG;
}

/* The kernel itself checks for the key: works on a write-only descriptor. */
static int update_existing(struct map *map, const void *key, const void *value)
{
	int error = write_entry(map, key, value, BPF_EXIST);

	/* E2BIG is never a full map: an update adds no entry */
	return is_impossible(map, key, error) ? -ENOENT : error;
}

static int lookup_and_update(struct map *map, const void *key,
			     const void *value, void *old)
{
	int error = lookup_entry(map, key, old);

	if (error < 0)
		return error;
	return write_entry(map, key, value, BPF_ANY);
}

/* -EINVAL for a queue or stack, as from the kernel: they have no keys. */
static int check_keys(const struct map *map)
{
	if (map->traits &
	    (MAP_NO_PUT | MAP_NO_ENTRIES | MAP_LOOKUP_TAKES_VALUE))
		return -EOPNOTSUPP;
	return map->key_size ? 0 : -EINVAL;
}

int map_update(struct map *map, const void *key, const void *value, void *old)
{
	int error = check_keys(map);

	if (error < 0)
		return error;
	lock_map(map);
	if (!map->lock || map->traits & MAP_KNOWS_EXIST)
		error = update_existing(map, key, value);
	else
		error = lookup_and_update(map, key, value, old);
	unlock_map(map);
	return error;
}

/* Some types lack BPF_NOEXIST, and others answer every one with EEXIST. */
static int lookup_and_insert(struct map *map, const void *key,
			     const void *value, void *old)
{
	int error = lookup_entry(map, key, old);

	if (error == 0)
		return -EEXIST;
	if (error != -ENOENT)
		return error;
	return write_entry(map, key, value, BPF_ANY);
}

int map_insert(struct map *map, const void *key, const void *value, void *old)
{
	int error = check_keys(map);

	if (error < 0)
		return error;
	lock_map(map);
	if (!map->lock || map->traits & MAP_KNOWS_NOEXIST)
		error = write_entry(map, key, value, BPF_NOEXIST);
	else
		error = lookup_and_insert(map, key, value, old);
	unlock_map(map);
	return error;
}

int map_remove(struct map *map, const void *key)
{
	int error;

	lock_map(map);
	error = delete_entry(map, key);
	unlock_map(map);
	return is_impossible(map, key, error) ? -ENOENT : error;
}

int map_take(struct map *map, const void *key, void *value)
{
	int error;

	if (!map->lock)
		return operation_error(
			map, bpf_map_lookup_and_delete_elem_flags(
				     map->resource.fd, kernel_key(map, key),
				     value, map->access));
	lock_map(map);
	error = lookup_entry(map, key, value);
	if (error == 0)
		error = delete_entry(map, key);
	unlock_map(map);
	return error;
}

int map_take_kept(struct map *map, const void *key, void *value,
		  map_keeper keep, void *context)
{
	int error;

	lock_map(map);
	error = lookup_entry(map, key, value);
	if (error == 0)
		error = keep(context, value);
	if (error == 0)
		error = delete_entry(map, key);
	unlock_map(map);
	return error;
}

int map_next_key(struct map *map, const void *key, void *next)
{
	return operation_error(
		map, bpf_map_get_next_key(map->resource.fd, key, next));
}

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
	return error == -EINVAL || error == -ENOTSUP || error == -MAP_ENOTSUPP;
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
