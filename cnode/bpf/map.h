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

#include "bpf/kernel_types.h"
#include "bpf/resource.h"

#define MAP_NAME_SIZE RESOURCE_NAME_SIZE
#define MAP_BUCKET_CURSOR_SIZE 4

/* How a type differs from a plain map of keys and values. */
enum map_trait {
	MAP_PER_CPU = 1 << 0,            /* one value per possible CPU */
	MAP_BUCKETS = 1 << 1,            /* batch lookup goes by hash bucket */
	MAP_PREFIX_LOOKUP = 1 << 2,      /* lookup also finds other keys */
	MAP_LOOKUP_TAKES_VALUE = 1 << 3, /* a bloom filter's */
	MAP_KEY_IS_FD = 1 << 4,          /* the key is a descriptor, */
	MAP_VALUE_IS_FD = 1 << 5,        /* the value is, */
	MAP_VALUE_HAS_FD = 1 << 6,       /* or has one after 4 bytes */
	MAP_ALL_EXIST = 1 << 7,          /* all entries always exist */
	MAP_VALUE_IS_MAP = 1 << 8,     /* the value's descriptor is a map's, */
	MAP_VALUE_IS_CGROUP = 1 << 9,  /* a cgroup's, */
	MAP_VALUE_IS_SOCKET = 1 << 10, /* or a socket's */
	MAP_VALUE_IS_INTERFACE = 1 << 11, /* an ifindex; a name will do */
	MAP_KEY_IS_PROCESS = 1 << 12,     /* the key's descriptor is a pidfd, */
	MAP_KEY_IS_FILE = 1 << 13,        /* a file's, */
	MAP_KEY_IS_CGROUP = 1 << 14,      /* a cgroup's, */
	MAP_KEY_IS_SOCKET = 1 << 15,      /* or a socket's */
	MAP_KEY_BATCH = 1 << 16,          /* batch lookup goes by key */
	MAP_INDEXED = 1 << 17,          /* keys are indexes below max_entries */
	MAP_HOLES = 1 << 18,            /* batch lookup skips empty slots */
	MAP_NO_SEED = 1 << 19,          /* all keys may hash to one bucket */
	MAP_KNOWS_EXIST = 1 << 20,      /* the kernel honours BPF_EXIST, */
	MAP_KNOWS_NOEXIST = 1 << 21,    /* or BPF_NOEXIST */
	MAP_NO_REMOVAL = 1 << 22,       /* entries cannot be removed */
	MAP_NO_PUT = 1 << 23,           /* only programs write to it */
	MAP_NO_ENTRIES = 1 << 24,       /* it has no entries at all */
	MAP_VALUE_IS_PROGRAM = 1 << 25, /* the value's fd is a program's */
};

struct types;

/* An open kernel map: a reference-counted resource. */
struct map {
	struct resource resource; /* first: see map_of() */
	uint32_t type;
	uint32_t key_size;   /* 0: the map has no keys */
	uint32_t value_size; /* of one value */
	uint32_t max_entries;
	unsigned cpus;       /* values per entry: 1, or the possible CPUs */
	size_t value_stride; /* bytes from one CPU's value to the next */
	unsigned traits;
	uint64_t access;         /* BPF_F_LOCK if values have a bpf_spin_lock */
	struct map_lock *lock;   /* NULL: the kernel does it all atomically */
	atomic_bool no_batch[3]; /* unsupported: get, take, put */
	struct map_charge *charge; /* NULL: not counted; map_memory.h */
	LIST_ENTRY(map) entry;     /* in the charge's list of open maps */
	atomic_bool kept;  /* may outlive its handles: pinned, or inner */
	atomic_bool inner; /* put into another map */
	bool write_only;   /* the descriptor */
	/* how bytes are terms, which only upper layers know; NULL: not at all.
	   Set before others see the map, and freed with it by free_types */
	struct types *types;
	void (*free_types)(struct types *types);
	struct ring_pages *user_ring; /* NULL until it is first pushed to */
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
	int btf_fd;              /* types of its keys and values; 0: none */
	uint32_t btf_key_type;   /* 0: it has no keys */
	uint32_t btf_value_type;
	char name[MAP_NAME_SIZE];
	const atomic_bool *stopped; /* true: give up; NULL: never */
};

/* The kernel's description of a map. */
struct map_info {
	uint32_t id;
	uint32_t type;
	uint32_t key_size;
	uint32_t value_size;
	uint32_t max_entries;
	uint32_t flags;
	uint32_t btf_id;       /* 0: none */
	uint32_t btf_key_type; /* ids within that BTF; 0: none */
	uint32_t btf_value_type;
	bool frozen;
	uint64_t memlock; /* bytes */
	char name[MAP_NAME_SIZE];
};

/* libbpf's name of a type; NULL past the last type that it knows. */
const char *map_type_name(uint32_t type);

/*
 * 0, or -EPERM if this process may not create maps (or another -errno). The
 * first map makes libbpf probe the kernel's features.
 */
int map_check_privilege(void);

/*
 * Creates a map; the caller releases it with map_unref(). 0 or the kernel's
 * -errno; -ENOMEM only after the retries of retry.h. Types that the kernel does
 * not take for such a map are left out: read back what it has. btf_fd stays the
 * caller's, and its types must have no bpf_spin_lock.
 */
int map_new(const struct map_spec *spec, struct map **map);

/*
 * Open an existing map; flags are BPF_F_RDONLY, BPF_F_WRONLY, or 0 for both.
 * An id takes CAP_SYS_ADMIN. -EINVAL if the pin at path is not a map's.
 */
int map_open_id(uint32_t id, uint32_t flags, struct map **map);
int map_open_pinned(const char *path, uint32_t flags, struct map **map);

/*
 * Takes over fd, even on failure: from the loader, which is not believed.
 * -EINVAL if fd is no map's.
 */
int map_adopt(int fd, struct map **map);

/*
 * Opens the same map again, by a descriptor of the same rights, for a view,
 * which the caller makes of it. 0 or -errno. The caller's reference keeps the
 * map alive meanwhile.
 */
int map_open_view(const struct map *map, struct map **view);

/* Advances *id to the host's next map id; -ENOENT after the last. */
int map_next_id(uint32_t *id);

/*
 * Maps of the process itself, up to MAP_MAX_HIDDEN: map_next_id() passes them
 * over, and whatever opens one says -ENOENT. map_new_hidden() makes an array
 * that can be mapped into memory, and returns its descriptor; map_hide() hides
 * one that is there; map_close_hidden() closes one that nothing else holds. 0
 * or -errno; -ENOSPC: there are too many. From any thread.
 */
#define MAP_MAX_HIDDEN 256
int map_new_hidden(uint32_t value_size, uint32_t max_entries);
int map_hide(int fd);
void map_close_hidden(int fd);

/*
 * True if this process may open maps by id at all. Then -EPERM or -EACCES from
 * map_open_id() is about that one map, and comes from a security module.
 */
bool map_may_open_by_id(void);

int map_get_info(const struct map *map, struct map_info *info);
void map_describe(const struct resource *resource, struct resource_text *text);
/* BPF_F_RDONLY, BPF_F_WRONLY, or 0: what a descriptor was opened with. */
int map_read_access(int fd, uint32_t *flags);
/* Only the memlock of map_get_info(). */
int map_get_memory(const struct map *map, uint64_t *bytes);
int map_freeze(const struct map *map);

extern const struct resource_kind map_kind;

/* The resource as a map; NULL for another kind, and for NULL. */
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

/* One errno for an unsupported operation; the kernel has two. */
static inline int map_error(int error)
{
	return error == -KERNEL_ENOTSUPP ? -EOPNOTSUPP : error;
}

/* Bytes the kernel reads or writes for an entry's values, all CPUs together. */
size_t map_entry_size(const struct map *map);

/*
 * The operations. A value with a bpf_spin_lock is read and written whole, under
 * that lock; the lock itself reads as zeros and is never written. key has
 * key_size bytes (a map without keys ignores it), value map_entry_size().
 * 0 or -errno as from bpf(2) (the kernel's sources list them by command), with
 * two exceptions: an operation that the type lacks is -EOPNOTSUPP, and updating
 * or removing an impossible key -ENOENT. old is a buffer for one entry, used if
 * the key has to be looked up first.
 */
int map_get(struct map *map, const void *key, void *value);
int map_put(struct map *map, const void *key, const void *value);
int map_remove(struct map *map, const void *key);
/* -EEXIST if the key has an entry. */
int map_insert(struct map *map, const void *key, const void *value, void *old);

/*
 * As map_put(), but -ENOENT if the key has no entry, on all types: under the
 * map's lock where the kernel does not check.
 */
int map_update(struct map *map, const void *key, const void *value, void *old);

/* Gets and removes: atomically in the kernel, or under the map's lock. */
int map_take(struct map *map, const void *key, void *value);

/*
 * The same, always under the lock. keep is called with the value before it is
 * removed; if it fails, the entry stays.
 */
typedef int (*map_keeper)(void *context, const void *value);
int map_take_kept(struct map *map, const void *key, void *value,
		  map_keeper keep, void *context);

/* The key after key; the first one for NULL. -ENOENT after the last. */
int map_next_key(struct map *map, const void *key, void *next);

/*
 * Many entries in one system call. keys and values are arrays of count
 * elements; count returns how many were used. With MAP_BUCKETS the cursor has
 * MAP_BUCKET_CURSOR_SIZE bytes and a batch returns whole buckets: an entry that
 * is there throughout comes exactly once. On other maps the cursor is the last
 * key. A NULL cursor starts at the beginning.
 *
 * 0 or -errno. On an error count is 0, unless stated: -ENOENT with the last
 * entries; -ENOSPC if the next bucket alone does not fit; -ENOTSUP if the type
 * has no such operation.
 */
struct map_batch {
	void *cursor;
	void *next_cursor;
	char *keys;
	char *values;
	uint32_t count;
};

int map_get_batch(struct map *map, struct map_batch *batch);
/* The same, and removes the entries, each bucket atomically. */
int map_take_batch(struct map *map, struct map_batch *batch);
/* Puts count entries in order; on any error count is how many were put. */
int map_put_batch(struct map *map, struct map_batch *batch);

#endif
