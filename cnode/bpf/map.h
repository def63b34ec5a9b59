/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAP_H
#define MAP_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "bpf/resource.h"

#define MAP_NAME_SIZE RESOURCE_NAME_SIZE
#define MAP_BUCKET_CURSOR_SIZE 4
#define MAP_ENOTSUPP 524 /* errno of the kernel's own */

/* What sets a type apart from a plain map of keys and values. */
enum map_trait {
	MAP_PER_CPU = 1 << 0,       /* a value for each possible CPU */
	MAP_BUCKETS = 1 << 1,       /* batch lookup goes by hash bucket */
	MAP_PREFIX_LOOKUP = 1 << 2, /* lookup finds other keys than its own */
	MAP_LOOKUP_TAKES_VALUE = 1 << 3, /* as of a bloom filter */
	MAP_KEY_IS_FD = 1 << 4,          /* the key is written as descriptor, */
	MAP_VALUE_IS_FD = 1 << 5,        /* the value is, */
	MAP_VALUE_HAS_FD = 1 << 6,       /* or has one behind its 4 bytes */
	MAP_FIXED = 1 << 7,              /* all entries exist, always */
	MAP_VALUE_IS_MAP = 1 << 8,     /* the value's descriptor is a map's, */
	MAP_VALUE_IS_CGROUP = 1 << 9,  /* a cgroup's, */
	MAP_VALUE_IS_SOCKET = 1 << 10, /* or a socket's */
	MAP_VALUE_IS_INTERFACE = 1 << 11, /* an index, which may be named */
	MAP_KEY_IS_PROCESS = 1 << 12,     /* the key's descriptor is a pidfd, */
	MAP_KEY_IS_FILE = 1 << 13,        /* a file's, */
	MAP_KEY_IS_CGROUP = 1 << 14,      /* a cgroup's, */
	MAP_KEY_IS_SOCKET = 1 << 15,      /* or a socket's */
	MAP_KEY_BATCH = 1 << 16,          /* batch lookup goes by key */
	MAP_INDEXED = 1 << 17,       /* keys are numbers below max_entries */
	MAP_HOLES = 1 << 18,         /* batch lookup passes over empty ones */
	MAP_NO_SEED = 1 << 19,       /* all keys may hash to one bucket */
	MAP_KNOWS_EXIST = 1 << 20,   /* the kernel implements BPF_EXIST, */
	MAP_KNOWS_NOEXIST = 1 << 21, /* BPF_NOEXIST */
	MAP_NO_REMOVAL = 1 << 22,    /* entries cannot be removed */
	MAP_NO_PUT = 1 << 23,        /* only programs write to it */
	MAP_NO_ENTRIES = 1 << 24,    /* it does not consist of entries */
};

/* An open kernel map, counted as a resource. */
struct map {
	struct resource resource; /* first: see map_of() */
	uint32_t type;
	uint32_t key_size;   /* 0: the map has no keys */
	uint32_t value_size; /* of one value */
	uint32_t max_entries;
	unsigned cpus;       /* values in an entry: 1, or the possible CPUs */
	size_t value_stride; /* bytes from one CPU's value to the next */
	unsigned traits;
	uint64_t access; /* BPF_F_LOCK where values have a lock of theirs */
	struct map_lock *lock;   /* NULL: each operation is one in the kernel */
	atomic_bool no_batch[3]; /* the kernel has said so: get, take, put */
	struct map_charge *charge; /* NULL: it is not counted; map_memory.h */
	LIST_ENTRY(map) entry; /* others that are open and have that charge */
	atomic_bool kept;  /* it may outlive us: pinned, or in another map, */
	atomic_bool inner; /* which is this */
	bool write_only;   /* its descriptor */
};

struct map_spec {
	uint32_t type;
	uint32_t key_size;
	uint32_t value_size;
	uint32_t max_entries;
	uint32_t flags;
	uint64_t extra;
	uint32_t numa_node;
	const struct map *inner; /* template of a map-in-map; NULL: none */
	char name[MAP_NAME_SIZE];
	const atomic_bool *stopped; /* nobody waits for it any more, or NULL */
};

/* What the kernel tells of a map. */
struct map_info {
	uint32_t id;
	uint32_t type;
	uint32_t key_size;
	uint32_t value_size;
	uint32_t max_entries;
	uint32_t flags;
	uint32_t btf_id; /* 0: none */
	bool frozen;
	uint64_t memlock; /* bytes */
	char name[MAP_NAME_SIZE];
};

/* What libbpf calls a type; NULL from the first on that it has no name for. */
const char *map_type_name(uint32_t type);

/*
 * 0, or -EPERM when this process may not make maps (or another -errno). With
 * the first map libbpf finds out what the kernel can do.
 */
int map_check_privilege(void);

/*
 * Makes a map, the caller's to map_unref(). 0 or the kernel's -errno; -ENOMEM
 * only after the tries of retry.h.
 */
int map_new(const struct map_spec *spec, struct map **map);

/*
 * Open a map that is there already; flags are BPF_F_RDONLY, BPF_F_WRONLY, or
 * 0 for both. By id it takes CAP_SYS_ADMIN. What is pinned at path, but is no
 * map, is -EINVAL.
 */
int map_open_id(uint32_t id, uint32_t flags, struct map **map);
int map_open_pinned(const char *path, uint32_t flags, struct map **map);

/*
 * The id of the map that is pinned at path, which is not opened for more;
 * -EINVAL for what is no map, or not that one where only is not 0.
 */
int map_pinned_id(const char *path, uint32_t only, uint32_t *id);

/* The id after *id among those of the host; -ENOENT at the end. */
int map_next_id(uint32_t *id);

/*
 * Whether this process may open by id at all. Where it may, -EPERM or -EACCES
 * of map_open_id() is said of that one map, by a security module.
 */
bool map_may_open_by_id(void);

int map_get_info(const struct map *map, struct map_info *info);
void map_describe(const struct resource *resource, struct resource_text *text);
/* What it takes, alone. */
int map_get_memory(const struct map *map, uint64_t *bytes);
int map_pin(const struct map *map, const char *path);
/* -EINVAL: what is pinned there is another map. */
int map_unpin(const struct map *map, const char *path);
int map_freeze(const struct map *map);

/* The lock of all maps of that id, which map_unref() gives back. */
struct map_lock *map_lock_open(uint32_t id);

extern const struct resource_kind map_kind;

/* The map that a resource is; NULL for another kind, and for NULL. */
static inline struct map *map_of(struct resource *resource)
{
	return resource && resource->kind == &map_kind ? (struct map *)resource
						       : NULL;
}

static inline struct map *map_ref(struct map *map)
{
	resource_ref(&map->resource);
	return map;
}

/* Takes NULL. */
static inline void map_unref(struct map *map)
{
	if (map)
		resource_unref(&map->resource);
}

/* One word for what the kernel cannot do, which has two. */
static inline int map_error(int error)
{
	return error == -MAP_ENOTSUPP ? -EOPNOTSUPP : error;
}

/* Bytes that the kernel reads and writes for a value, all CPUs together. */
size_t map_entry_size(const struct map *map);

/*
 * The operations. A value that has a bpf_spin_lock is read and written whole,
 * under it; the lock itself reads as zeros and is left alone. key is of
 * key_size bytes (ignored by a map without keys), a value of map_entry_size().
 * 0 or -errno as bpf(2) gives it; what may be said of them is in the table of
 * bpf(2) commands in the kernel's sources. What a type cannot do is
 * -EOPNOTSUPP, whatever the kernel says, and a key that cannot be -ENOENT where
 * it would have to be there. old is room for an entry, which is looked up where
 * the kernel's word is not enough.
 */
int map_get(struct map *map, const void *key, void *value);
int map_put(struct map *map, const void *key, const void *value);
int map_remove(struct map *map, const void *key);
/* -EEXIST where the key has an entry. */
int map_insert(struct map *map, const void *key, const void *value, void *old);

/*
 * As map_put(), but -ENOENT where the key has no entry, on all types: where
 * the kernel does not look for itself, under the map's lock.
 */
int map_update(struct map *map, const void *key, const void *value, void *old);

/* Gets and removes: at once in the kernel, or under the map's lock. */
int map_take(struct map *map, const void *key, void *value);

/*
 * The same under the lock in any case, and keep is called in between with what
 * is about to be removed: an error of its leaves the entry there.
 */
typedef int (*map_keeper)(void *context, const void *value);
int map_take_kept(struct map *map, const void *key, void *value,
		  map_keeper keep, void *context);

/* The key after key; the first one for NULL. -ENOENT after the last. */
int map_next_key(struct map *map, const void *key, void *next);

/*
 * Many entries in one system call: room for count keys and values, one behind
 * the other, and then as many of them as there are. A walk of a map with
 * MAP_BUCKETS has a cursor of MAP_BUCKET_CURSOR_SIZE bytes and goes by whole
 * buckets: what is there all the time comes once. That of other maps is the
 * last key. A cursor of NULL is the beginning.
 *
 * 0 or -errno, count being 0 but where it says otherwise: -ENOENT with the
 * last of them; -ENOSPC when the next bucket alone does not fit; -ENOTSUP
 * when the type has no such operation.
 */
struct map_batch {
	void *cursor;
	void *next_cursor;
	char *keys;
	char *values;
	uint32_t count;
};

int map_get_batch(struct map *map, struct map_batch *batch);
/* The same, and the entries are removed, atomically for each bucket. */
int map_take_batch(struct map *map, struct map_batch *batch);
/* Puts count entries, in order; for any error count is how many it did. */
int map_put_batch(struct map *map, struct map_batch *batch);

#endif
