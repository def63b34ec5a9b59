/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAP_H
#define MAP_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAP_NAME_SIZE 16 /* BPF_OBJ_NAME_LEN: 15 characters and a NUL */
#define MAP_BUCKET_CURSOR_SIZE 4

/* What sets a type apart from a plain map of keys and values. */
enum map_trait {
	MAP_PER_CPU = 1 << 0,       /* a value for each possible CPU */
	MAP_BUCKETS = 1 << 1,       /* batch lookup goes by hash bucket */
	MAP_PREFIX_LOOKUP = 1 << 2, /* lookup finds other keys than its own */
	MAP_VALUE_IN = 1 << 3,      /* lookup reads its value: a bloom filter */
	MAP_KEY_IS_FD = 1 << 4,     /* written with a descriptor for a key, */
	MAP_VALUE_IS_FD = 1 << 5,   /* a descriptor for a value, */
	MAP_VALUE_HAS_FD = 1 << 6,  /* or one behind 4 octets of the value */
};

/*
 * An open kernel map. Counted: map_ref() and map_unref(); the descriptor is
 * closed with the last reference. All but the count is constant.
 */
struct map {
	int fd;
	uint32_t id;
	uint32_t type;
	uint32_t key_size;   /* 0: the map has no keys */
	uint32_t value_size; /* of one value */
	uint32_t max_entries;
	unsigned cpus;       /* values in an entry: 1, or the possible CPUs */
	size_t value_stride; /* octets from one CPU's value to the next */
	unsigned traits;
	struct map_lock *lock; /* NULL: each operation is one in the kernel */
	atomic_uint refs;
};

struct map_spec {
	uint32_t type;
	uint32_t key_size;
	uint32_t value_size;
	uint32_t max_entries;
	uint32_t flags;
	char name[MAP_NAME_SIZE];
};

/* What libbpf calls a type; NULL from the first on that it has no name for. */
const char *map_type_name(uint32_t type);

/* 0, or -EPERM when this process may not make maps (or another -errno). */
int map_check_privilege(void);

/* Makes a map, the caller's to map_unref(). 0 or the kernel's -errno. */
int map_new(const struct map_spec *spec, struct map **map);
struct map *map_ref(struct map *map);
void map_unref(struct map *map); /* takes NULL */

/* Octets that the kernel reads and writes for a value, all CPUs together. */
size_t map_entry_size(const struct map *map);

/*
 * The operations. key is of key_size octets (ignored by a map without keys),
 * a value of map_entry_size(). 0 or -errno as bpf(2) gives it; what may be
 * said of them is in the table of bpf(2) commands in the kernel's sources.
 */
int map_get(struct map *map, const void *key, void *value);
int map_put(struct map *map, const void *key, const void *value);
int map_remove(struct map *map, const void *key);

/*
 * As map_put(), but -ENOENT where the key has no entry, on all types: where
 * the kernel does not look for itself, under the map's lock. old is room for
 * an entry.
 */
int map_update(struct map *map, const void *key, const void *value, void *old);

/* Gets and removes: at once in the kernel, or under the map's lock. */
int map_take(struct map *map, const void *key, void *value);

/* The key after key; the first one for NULL. -ENOENT after the last. */
int map_next_key(struct map *map, const void *key, void *next);

/* Where a walk by buckets is, and the room for what it finds. */
struct map_buckets {
	void *cursor;      /* NULL: at the beginning */
	void *next_cursor; /* both of MAP_BUCKET_CURSOR_SIZE */
	void *keys;
	void *values;
	uint32_t count; /* of entries that keys and values have room for */
};

/*
 * A map with MAP_BUCKETS: the entries of some whole buckets, count of them.
 * -ENOSPC when the next bucket alone does not fit; -ENOENT when these were the
 * last.
 */
int map_next_buckets(struct map *map, struct map_buckets *buckets);

#endif
