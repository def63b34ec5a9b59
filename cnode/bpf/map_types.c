/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the kernel's map types differ: a table of their fixed traits, and probes
 * for what the running kernel implements.
 */
#include "bpf/map_types.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAP_KNOWS (MAP_KNOWS_EXIST | MAP_KNOWS_NOEXIST)
#define MAP_ARRAY                                                              \
	(MAP_INDEXED | MAP_ALL_EXIST | MAP_NO_REMOVAL | MAP_KEY_BATCH |        \
	 MAP_KNOWS)

/* By name: the kernel headers of the build may be older than libbpf. */
static const struct {
	const char *name;
	unsigned traits;
} type_traits[] = {
	{ "hash", MAP_BUCKETS | MAP_KNOWS },
	{ "lru_hash", MAP_BUCKETS | MAP_KNOWS },
	{ "percpu_hash", MAP_BUCKETS | MAP_PER_CPU | MAP_KNOWS },
	{ "lru_percpu_hash", MAP_BUCKETS | MAP_PER_CPU | MAP_KNOWS },
	{ "array", MAP_ARRAY },
	{ "percpu_array", MAP_ARRAY | MAP_PER_CPU },
	{ "cgroup_storage", MAP_KNOWS_EXIST | MAP_NO_REMOVAL },
	{ "percpu_cgroup_storage",
	  MAP_KNOWS_EXIST | MAP_NO_REMOVAL | MAP_PER_CPU },
	{ "lpm_trie", MAP_KEY_BATCH | MAP_PREFIX_LOOKUP | MAP_KNOWS },
	{ "bloom_filter", MAP_LOOKUP_TAKES_VALUE },
	{ "array_of_maps", MAP_INDEXED | MAP_KEY_BATCH | MAP_HOLES |
				   MAP_VALUE_IS_FD | MAP_VALUE_IS_MAP },
	{ "hash_of_maps",
	  MAP_BUCKETS | MAP_VALUE_IS_FD | MAP_VALUE_IS_MAP | MAP_KNOWS },
	{ "prog_array", MAP_INDEXED | MAP_VALUE_IS_FD | MAP_VALUE_IS_PROGRAM },
	{ "perf_event_array", MAP_INDEXED | MAP_VALUE_IS_FD },
	{ "cgroup_array", MAP_INDEXED | MAP_VALUE_IS_FD | MAP_VALUE_IS_CGROUP },
	{ "sockmap", MAP_INDEXED | MAP_VALUE_IS_FD | MAP_VALUE_IS_SOCKET },
	{ "sockhash", MAP_VALUE_IS_FD | MAP_VALUE_IS_SOCKET },
	{ "reuseport_sockarray",
	  MAP_INDEXED | MAP_VALUE_IS_FD | MAP_VALUE_IS_SOCKET },
	{ "xskmap", MAP_INDEXED | MAP_VALUE_IS_FD | MAP_VALUE_IS_SOCKET },
	{ "devmap", MAP_INDEXED | MAP_VALUE_HAS_FD | MAP_VALUE_IS_INTERFACE },
	{ "devmap_hash", MAP_VALUE_HAS_FD | MAP_VALUE_IS_INTERFACE },
	{ "cpumap", MAP_INDEXED | MAP_VALUE_HAS_FD },
	{ "sk_storage", MAP_KEY_IS_FD | MAP_KEY_IS_SOCKET | MAP_KNOWS },
	{ "inode_storage", MAP_KEY_IS_FD | MAP_KEY_IS_FILE | MAP_KNOWS },
	{ "task_storage", MAP_KEY_IS_FD | MAP_KEY_IS_PROCESS | MAP_KNOWS },
	{ "cgrp_storage", MAP_KEY_IS_FD | MAP_KEY_IS_CGROUP | MAP_KNOWS },
	{ "stack_trace", MAP_NO_PUT },
	{ "ringbuf", MAP_NO_ENTRIES },
	{ "user_ringbuf", MAP_NO_ENTRIES },
	{ "arena", MAP_NO_ENTRIES },
};

unsigned map_types_traits(uint32_t type)
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

/* --- Probes, when a type is first used ----------------------------------- */

static unsigned char probe_fd(int fd, uint32_t key_size, char *value)
{
	unsigned char abilities = MAP_TYPES_KNOWN;
	uint32_t key = 0, cursor, count = 1;
	int error = bpf_map_lookup_and_delete_elem(fd, key_size ? &key : NULL,
						   value);

	if (error == -ENOENT)
		abilities |= MAP_TYPES_TAKE;
	error = key_size ? bpf_map_lookup_batch(fd, NULL, &cursor, &key, value,
						&count, NULL)
			 : -EINVAL;
	if (error == 0 || error == -ENOENT)
		abilities |= MAP_TYPES_BUCKETS;
	return abilities;
}

/* Out of resources or privileges: the next probe may succeed. */
static bool is_inconclusive(int error)
{
	return error == -EMFILE || error == -ENFILE || error == -ENOMEM ||
	       error == -EPERM;
}

/* The descriptor of an inner map; 0 if the type needs none; or -errno. */
static int create_inner(uint32_t type)
{
	return map_types_traits(type) & MAP_VALUE_IS_MAP
		       ? bpf_map_create(BPF_MAP_TYPE_ARRAY, NULL, 4, 4, 1, NULL)
		       : 0;
}

static int create_sized(uint32_t type, int inner, uint32_t *key_size)
{
	static const uint32_t key_sizes[] = { 4, 0 };
	LIBBPF_OPTS(bpf_map_create_opts, options,
		    .inner_map_fd = (uint32_t)inner);
	uint32_t value_size = inner ? 4 : MAP_TYPES_VALUE_ALIGN;
	int fd = -EINVAL;

	for (size_t i = 0; fd < 0 && !is_inconclusive(fd) && i < 2; i++) {
		*key_size = key_sizes[i];
		fd = bpf_map_create((enum bpf_map_type)type, NULL, *key_size,
				    value_size, 1, &options);
	}
	return fd;
}

/* The descriptor of an empty map of that type, or -errno. */
static int create_probe(uint32_t type, uint32_t *key_size)
{
	int inner = create_inner(type);
	int fd = inner < 0 ? inner : create_sized(type, inner, key_size);

	if (inner > 0)
		close(inner);
	return fd;
}

/* Callers that open a map take EPERM to mean that no map opens by id. */
static int probe_error(int error)
{
	return error == -EPERM ? -ENOMEM : error;
}

static int probe_type(uint32_t type)
{
	int cpus = libbpf_num_possible_cpus();
	uint32_t key_size = 0;
	char *value;
	int fd, abilities;

	if (cpus < 0)
		return cpus;
	value = calloc((size_t)cpus, MAP_TYPES_VALUE_ALIGN);
	fd = value ? create_probe(type, &key_size) : -ENOMEM;
	if (fd >= 0) {
		abilities = probe_fd(fd, key_size, value);
		close(fd);
	} else {
		abilities =
			is_inconclusive(fd) ? probe_error(fd) : MAP_TYPES_KNOWN;
	}
	free(value);
	return abilities;
}

/*
 * Types past the end of known[] are probed each time. Maps of sockets,
 * interfaces and CPUs have neither ability, and creating some of them takes
 * CAP_NET_ADMIN.
 */
int map_types_abilities(uint32_t type)
{
	static atomic_uchar known[64];
	int abilities;

	if (map_types_traits(type) & (MAP_VALUE_IS_SOCKET | MAP_VALUE_HAS_FD))
		return MAP_TYPES_KNOWN;
	if (type >= sizeof(known) / sizeof(known[0]))
		return probe_type(type);
	abilities = atomic_load(&known[type]);
	if (!abilities) {
		abilities = probe_type(type);
		if (abilities > 0)
			atomic_store(&known[type], (unsigned char)abilities);
	}
	return abilities;
}
