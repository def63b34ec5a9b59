/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations on kernel maps, by libbpf: octets in, octets out, -errno. What
 * the kernel's types have of their own is here, as a table; terms, peers and
 * handles are not. Callers see to sizes: nothing here can know them.
 *
 * Shared between threads: the locks of maps, and what was found out of a type.
 */
#include "map.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KERNEL_VALUE_ALIGN 8 /* of each CPU's value */

/* By name: the headers that we are built with may be older than libbpf. */
static const struct {
	const char *name;
	unsigned traits;
} type_traits[] = {
	{ "hash", MAP_BUCKETS },
	{ "lru_hash", MAP_BUCKETS },
	{ "percpu_hash", MAP_BUCKETS | MAP_PER_CPU },
	{ "lru_percpu_hash", MAP_BUCKETS | MAP_PER_CPU },
	{ "percpu_array", MAP_PER_CPU },
	{ "percpu_cgroup_storage", MAP_PER_CPU },
	{ "lpm_trie", MAP_PREFIX_LOOKUP },
	{ "bloom_filter", MAP_VALUE_IN },
	{ "array_of_maps", MAP_VALUE_IS_FD },
	{ "hash_of_maps", MAP_VALUE_IS_FD },
	{ "prog_array", MAP_VALUE_IS_FD },
	{ "perf_event_array", MAP_VALUE_IS_FD },
	{ "cgroup_array", MAP_VALUE_IS_FD },
	{ "sockmap", MAP_VALUE_IS_FD },
	{ "sockhash", MAP_VALUE_IS_FD },
	{ "reuseport_sockarray", MAP_VALUE_IS_FD },
	{ "xskmap", MAP_VALUE_IS_FD },
	{ "devmap", MAP_VALUE_HAS_FD },
	{ "devmap_hash", MAP_VALUE_HAS_FD },
	{ "cpumap", MAP_VALUE_HAS_FD },
	{ "sk_storage", MAP_KEY_IS_FD },
	{ "inode_storage", MAP_KEY_IS_FD },
	{ "task_storage", MAP_KEY_IS_FD },
	{ "cgrp_storage", MAP_KEY_IS_FD },
};

static unsigned traits_of(uint32_t type)
{
	const char *name = map_type_name(type);

	for (size_t i = 0; i < sizeof(type_traits) / sizeof(type_traits[0]);
	     i++)
		if (name && strcmp(type_traits[i].name, name) == 0)
			return type_traits[i].traits;
	return 0;
}

const char *map_type_name(uint32_t type)
{
	return libbpf_bpf_map_type_str((enum bpf_map_type)type);
}

int map_check_privilege(void)
{
	LIBBPF_OPTS(bpf_map_create_opts, options,
		    .map_flags = BPF_F_NO_PREALLOC);
	/* a type that no sysctl opens to processes without CAP_BPF */
	int fd = bpf_map_create(BPF_MAP_TYPE_LPM_TRIE, NULL, 8, 1, 1, &options);

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

/* --- Locks: one for each map id, shared by all handles of that map ------ */

struct map_lock {
	pthread_mutex_t mutex;
	uint32_t id;
	unsigned users;
	struct map_lock *next;
};

static struct map_lock *locks;
static pthread_mutex_t locks_mutex = PTHREAD_MUTEX_INITIALIZER;

static struct map_lock *find_or_make_lock(uint32_t id)
{
	struct map_lock *lock;

	for (lock = locks; lock; lock = lock->next)
		if (lock->id == id)
			return lock;
	lock = calloc(1, sizeof(*lock));
	if (!lock)
		return NULL;
	pthread_mutex_init(&lock->mutex, NULL);
	lock->id = id;
	lock->next = locks;
	locks = lock;
	return lock;
}

static struct map_lock *lock_open(uint32_t id)
{
	struct map_lock *lock;

	pthread_mutex_lock(&locks_mutex);
	lock = find_or_make_lock(id);
	if (lock)
		lock->users++;
	pthread_mutex_unlock(&locks_mutex);
	return lock;
}

static void lock_close(struct map_lock *lock)
{
	struct map_lock **at = &locks;

	if (!lock)
		return;
	pthread_mutex_lock(&locks_mutex);
	if (--lock->users == 0) {
		while (*at != lock)
			at = &(*at)->next;
		*at = lock->next;
		pthread_mutex_destroy(&lock->mutex);
		free(lock);
	}
	pthread_mutex_unlock(&locks_mutex);
}

static void enter(struct map *map)
{
	if (map->lock)
		pthread_mutex_lock(&map->lock->mutex);
}

static void leave(struct map *map)
{
	if (map->lock)
		pthread_mutex_unlock(&map->lock->mutex);
}

/* --- Which types can take in one operation ------------------------------ */

/* Asks the kernel, by a map of that type: hash kinds, queue and stack can. */
static bool probe_take(uint32_t type)
{
	static const uint32_t key_sizes[] = { 4, 0 };
	char *value =
		calloc((size_t)libbpf_num_possible_cpus(), KERNEL_VALUE_ALIGN);
	uint32_t key = 0;
	bool can = false;
	int fd = -1;

	for (size_t i = 0; value && fd < 0 && i < 2; i++) {
		fd = bpf_map_create((enum bpf_map_type)type, NULL, key_sizes[i],
				    KERNEL_VALUE_ALIGN, 1, NULL);
		if (fd >= 0)
			can = bpf_map_lookup_and_delete_elem(
				      fd, key_sizes[i] ? &key : NULL, value) ==
			      -ENOENT;
	}
	if (fd >= 0)
		close(fd);
	free(value);
	return can;
}

/* Types beyond the table are probed each time. */
static bool takes_at_once(uint32_t type)
{
	enum {
		UNKNOWN,
		CAN,
		CANNOT
	};

	static atomic_uchar known[64];
	bool can;

	if (type >= sizeof(known) / sizeof(known[0]))
		return probe_take(type);
	if (atomic_load(&known[type]) == UNKNOWN) {
		can = probe_take(type);
		atomic_store(&known[type], can ? CAN : CANNOT);
	}
	return atomic_load(&known[type]) == CAN;
}

/* --- Making and ending -------------------------------------------------- */

/* What the kernel made of it, which need not be what was asked for. */
static int describe(struct map *map)
{
	struct bpf_map_info info = { 0 };
	uint32_t size = sizeof(info);
	int error = bpf_obj_get_info_by_fd(map->fd, &info, &size);
	int cpus;

	if (error < 0)
		return error;
	map->id = info.id;
	map->type = info.type;
	map->key_size = info.key_size;
	map->value_size = info.value_size;
	map->max_entries = info.max_entries;
	map->traits = traits_of(info.type);
	map->cpus = 1;
	map->value_stride = info.value_size;
	if (map->traits & MAP_PER_CPU) {
		cpus = libbpf_num_possible_cpus();
		if (cpus < 0)
			return cpus;
		map->cpus = (unsigned)cpus;
		map->value_stride =
			((size_t)info.value_size + KERNEL_VALUE_ALIGN - 1) /
			KERNEL_VALUE_ALIGN * KERNEL_VALUE_ALIGN;
	}
	return 0;
}

/* Owns the descriptor from here on, also when it fails. */
static int map_from_fd(int fd, struct map **result)
{
	struct map *map = calloc(1, sizeof(*map));
	int error = -ENOMEM;

	if (!map) {
		close(fd);
		return error;
	}
	map->fd = fd;
	atomic_init(&map->refs, 1);
	error = describe(map);
	if (error == 0 && !takes_at_once(map->type)) {
		map->lock = lock_open(map->id);
		error = map->lock ? 0 : -ENOMEM;
	}
	if (error < 0) {
		map_unref(map);
		return error;
	}
	*result = map;
	return 0;
}

int map_new(const struct map_spec *spec, struct map **map)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = spec->flags);
	int fd = bpf_map_create((enum bpf_map_type)spec->type,
				spec->name[0] ? spec->name : NULL,
				spec->key_size, spec->value_size,
				spec->max_entries, &options);

	return fd < 0 ? fd : map_from_fd(fd, map);
}

struct map *map_ref(struct map *map)
{
	atomic_fetch_add(&map->refs, 1);
	return map;
}

void map_unref(struct map *map)
{
	if (!map || atomic_fetch_sub(&map->refs, 1) > 1)
		return;
	lock_close(map->lock);
	close(map->fd);
	free(map);
}

size_t map_entry_size(const struct map *map)
{
	return map->value_stride * map->cpus;
}

/* --- Operations --------------------------------------------------------- */

static const void *kernel_key(const struct map *map, const void *key)
{
	return map->key_size ? key : NULL;
}

int map_get(struct map *map, const void *key, void *value)
{
	return bpf_map_lookup_elem(map->fd, kernel_key(map, key), value);
}

int map_put(struct map *map, const void *key, const void *value)
{
	int error;

	enter(map);
	error = bpf_map_update_elem(map->fd, kernel_key(map, key), value,
				    BPF_ANY);
	leave(map);
	return error;
}

int map_update(struct map *map, const void *key, const void *value, void *old)
{
	int error;

	if (!map->key_size)
		return -EINVAL;
	/* A trie's lookup would find a shorter prefix than the one meant. */
	if (!map->lock || map->traits & MAP_PREFIX_LOOKUP)
		return bpf_map_update_elem(map->fd, key, value, BPF_EXIST);
	enter(map);
	error = bpf_map_lookup_elem(map->fd, key, old);
	if (error == 0)
		error = bpf_map_update_elem(map->fd, key, value, BPF_ANY);
	leave(map);
	return error;
}

int map_remove(struct map *map, const void *key)
{
	int error;

	enter(map);
	error = bpf_map_delete_elem(map->fd, kernel_key(map, key));
	leave(map);
	return error;
}

int map_take(struct map *map, const void *key, void *value)
{
	int error;

	if (!map->lock)
		return bpf_map_lookup_and_delete_elem(
			map->fd, kernel_key(map, key), value);
	enter(map);
	error = bpf_map_lookup_elem(map->fd, kernel_key(map, key), value);
	if (error == 0)
		error = bpf_map_delete_elem(map->fd, kernel_key(map, key));
	leave(map);
	return error;
}

int map_next_key(struct map *map, const void *key, void *next)
{
	return bpf_map_get_next_key(map->fd, key, next);
}

int map_next_buckets(struct map *map, struct map_buckets *b)
{
	uint32_t room = b->count;
	int error = bpf_map_lookup_batch(map->fd, b->cursor, b->next_cursor,
					 b->keys, b->values, &b->count, NULL);

	if (error != 0 && error != -ENOENT)
		b->count = 0;
	else if (b->count > room)
		return -EIO; /* never seen; it would be read past the room */
	return error;
}
