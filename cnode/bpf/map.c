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

#include "bpf/map_lock.h"
#include "bpf/user_ring.h"

/* --- References --------------------------------------------------------- */

static void free_map(struct resource *resource)
{
	struct map *map = (struct map *)resource;

	if (map->types)
		map->free_types(map->types);
	user_ring_free(map->user_ring);
	map_lock_close(map->lock);
	free(map);
}

const struct resource_kind map_kind = {
	.name = "map",
	.class = RESOURCE_MAPS,
	.inode = "bpf-map",
	.look_flags = BPF_F_RDONLY,
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

static int lookup_once(struct map *map, const void *key, void *value)
{
	return bpf_map_lookup_elem_flags(map->resource.fd, kernel_key(map, key),
					 value, map->access);
}

/*
 * The kernel looks up hash types without a lock: if an element is replaced and
 * reused during the lookup, the bucket walk continues behind the new one and
 * can miss a key that was never deleted (5 of 9.6 million, Linux 6.18). So
 * -ENOENT counts only the second time.
 */
static int lookup_entry(struct map *map, const void *key, void *value)
{
	int error = lookup_once(map, key, value);

	if (error == 0)
		return 0;
	if (error == -ENOENT && map->traits & MAP_BUCKETS)
		error = lookup_once(map, key, value);
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
