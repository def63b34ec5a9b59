/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Only the bpf(2) calls that an operation needs, in a loop on an existing map.
 * Also fills and empties the maps of a run, whoever created them.
 *
 *	maploop MAP_ID OPERATION COUNT
 *
 * OPERATION is one of the table at the end of this file. It works on the COUNT
 * keys 0, 1, 2 ..., or in an lpm_trie on as many addresses of 32 bits; a value
 *is 3 times its key, padded, the same for each CPU. Prints the time it took in
 * nanoseconds, wall clock and CPU, and the number of entries seen.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <err.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CHUNK 16384 /* entries of a batch, as the facade asks for them */
#define ADDRESS_BITS 32

struct map {
	int fd;
	uint32_t type;
	size_t key_size;
	size_t entry_size; /* a value for all CPUs */
	uint32_t count;
	char *keys;   /* all of them */
	char *values; /* in a chunk */
	char *cursor;
};

static bool per_cpu(uint32_t type)
{
	return type == BPF_MAP_TYPE_PERCPU_HASH ||
	       type == BPF_MAP_TYPE_PERCPU_ARRAY ||
	       type == BPF_MAP_TYPE_LRU_PERCPU_HASH;
}

static char *key(const struct map *map, uint32_t i)
{
	return map->keys + (size_t)i * map->key_size;
}

static char *value(const struct map *map, uint32_t i)
{
	return map->values + (size_t)i * map->entry_size;
}

static void *room(size_t entries, size_t size)
{
	void *bytes = calloc(entries, size);

	if (!bytes)
		err(1, "room for %zu times %zu bytes", entries, size);
	return bytes;
}

static void open_map(struct map *map, uint32_t id, uint32_t count)
{
	struct bpf_map_info info = { 0 };
	uint32_t size = sizeof(info);
	int cpus = libbpf_num_possible_cpus();

	map->fd = bpf_map_get_fd_by_id(id);
	if (map->fd < 0)
		err(1, "map %u", id);
	if (bpf_obj_get_info_by_fd(map->fd, &info, &size) < 0)
		err(1, "what map %u is", id);
	if (cpus < 1 || info.key_size < sizeof(uint32_t))
		errx(1, "map %u has no keys of 4 bytes or more", id);
	map->type = info.type;
	map->key_size = info.key_size;
	map->entry_size = info.value_size;
	if (per_cpu(info.type))
		map->entry_size =
			((size_t)info.value_size + 7) / 8 * 8 * (size_t)cpus;
	map->count = count;
	map->keys = room(count, map->key_size);
	map->values = room(count < CHUNK ? count : CHUNK, map->entry_size);
	map->cursor = room(1, map->key_size);
}

static void make_keys(struct map *map)
{
	uint32_t place[2], size;

	for (uint32_t i = 0; i < map->count; i++) {
		size = sizeof(uint32_t);
		place[0] = i;
		if (map->type == BPF_MAP_TYPE_LPM_TRIE &&
		    map->key_size >= sizeof(place)) {
			place[0] = ADDRESS_BITS;
			place[1] = htonl(i);
			size = sizeof(place);
		}
		memcpy(key(map, i), place, size);
	}
}

/* The values of n entries from number first on. */
static void make_values(struct map *map, uint32_t first, uint32_t n)
{
	uint64_t number;

	for (uint32_t i = 0; i < n; i++) {
		number = 3 * (uint64_t)(first + i);
		memset(value(map, i), 0, map->entry_size);
		for (size_t at = 0; at + 8 <= map->entry_size; at += 8) {
			memcpy(value(map, i) + at, &number, 8);
			if (!per_cpu(map->type))
				break;
		}
	}
}

/* --- Entry by entry ------------------------------------------------------- */

static uint32_t get(struct map *map)
{
	for (uint32_t i = 0; i < map->count; i++) {
		if (bpf_map_lookup_elem(map->fd, key(map, i), map->values) < 0)
			err(1, "lookup of the %u-th key", i);
	}
	return map->count;
}

static uint32_t write_all(struct map *map, uint64_t flags)
{
	make_values(map, 0, 1);
	for (uint32_t i = 0; i < map->count; i++) {
		if (bpf_map_update_elem(map->fd, key(map, i), map->values,
					flags) < 0)
			err(1, "update of the %u-th key", i);
	}
	return map->count;
}

static uint32_t put(struct map *map)
{
	return write_all(map, BPF_ANY);
}

static uint32_t update(struct map *map)
{
	return write_all(map, BPF_EXIST);
}

static uint32_t take(struct map *map)
{
	for (uint32_t i = 0; i < map->count; i++) {
		if (bpf_map_lookup_and_delete_elem(map->fd, key(map, i),
						   map->values) < 0)
			err(1, "lookup and delete of the %u-th key", i);
	}
	return map->count;
}

/* --- Whole maps ----------------------------------------------------------- */

typedef int batch_call(int fd, void *in, void *out, void *keys, void *values,
		       uint32_t *count, const struct bpf_map_batch_opts *opts);

static uint32_t walk(struct map *map, batch_call *call)
{
	uint32_t n, met = 0;
	bool first = true;
	int error;

	do {
		n = CHUNK < map->count ? CHUNK : map->count;
		error = call(map->fd, first ? NULL : map->cursor, map->cursor,
			     map->keys, map->values, &n, NULL);
		if (error < 0 && errno != ENOENT)
			err(1, "a batch of %u", n);
		met += n;
		first = false;
	} while (error == 0);
	return met;
}

static uint32_t list(struct map *map)
{
	return walk(map, bpf_map_lookup_batch);
}

static uint32_t merge(struct map *map)
{
	uint32_t n;

	for (uint32_t done = 0; done < map->count; done += n) {
		n = map->count - done < CHUNK ? map->count - done : CHUNK;
		make_values(map, done, n);
		if (bpf_map_update_batch(map->fd, key(map, done), map->values,
					 &n, NULL) < 0)
			err(1, "a batch after %u entries", done);
	}
	return map->count;
}

/* A trie has no batch that removes: takes the first key again and again. */
static uint32_t drain_by_keys(struct map *map)
{
	uint32_t met = 0;

	while (bpf_map_get_next_key(map->fd, NULL, map->cursor) == 0) {
		if (bpf_map_lookup_elem(map->fd, map->cursor, map->values) <
			    0 ||
		    bpf_map_delete_elem(map->fd, map->cursor) < 0)
			err(1, "removing a key after %u", met);
		met++;
	}
	if (errno != ENOENT)
		err(1, "the next key after %u", met);
	return met;
}

static uint32_t drain(struct map *map)
{
	if (map->type == BPF_MAP_TYPE_LPM_TRIE)
		return drain_by_keys(map);
	return walk(map, bpf_map_lookup_and_delete_batch);
}

/* -------------------------------------------------------------------------- */

static uint64_t now(clockid_t clock)
{
	struct timespec t;

	(void)clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static uint32_t number(const char *text)
{
	char *end;
	unsigned long n;

	errno = 0;
	n = strtoul(text, &end, 10);
	if (errno || *end || end == text || n < 1 || n > 100000000)
		errx(2, "no number: %s", text);
	return (uint32_t)n;
}

static const struct operation {
	const char *name;
	uint32_t (*run)(struct map *map);
} operations[] = {
	{ "get", get },     { "put", put },   { "update", update },
	{ "take", take },   { "list", list }, { "merge", merge },
	{ "drain", drain },
};

int main(int argc, char **argv)
{
	const struct operation *operation = operations;
	const struct operation *end =
		operations + sizeof(operations) / sizeof(*operations);
	struct map map;
	uint64_t wall, cpu;
	uint32_t met;

	if (argc != 4)
		errx(2, "usage: maploop MAP_ID OPERATION COUNT");
	while (operation < end && strcmp(operation->name, argv[2]) != 0)
		operation++;
	if (operation == end)
		errx(2, "no operation: %s", argv[2]);
	open_map(&map, number(argv[1]), number(argv[3]));
	make_keys(&map);
	wall = now(CLOCK_MONOTONIC);
	cpu = now(CLOCK_PROCESS_CPUTIME_ID);
	met = operation->run(&map);
	cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	wall = now(CLOCK_MONOTONIC) - wall;
	printf("%llu %llu %u\n", (unsigned long long)wall,
	       (unsigned long long)cpu, met);
	return 0;
}
