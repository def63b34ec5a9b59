/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of a full map, from the kernel's sources: preallocated entries and
 * those allocated one by one.
 */
#include "bpf/map_size.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <string.h>
#include <unistd.h>

#include "bpf/map_types.h"

#define HASH_OVERHEAD 64     /* per entry, if preallocated, */
#define GROWING_OVERHEAD 128 /* and if allocated one by one */
#define MAP_OVERHEAD 2048    /* per map */
#define BUCKET_BYTES 32      /* per entry, in the bucket tables */
#define TRIE_NODES 2         /* an entry may add a branch node */
#define DEVICE_BYTES 128     /* per entry of a devmap */
/* per entry of a cpumap: the longest queue, and a thread with its stack */
#define CPU_BYTES (16384 * 8 + 32768)

static uint64_t multiply(uint64_t a, uint64_t b)
{
	uint64_t product;

	return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

static uint64_t aligned(uint64_t bytes)
{
	uint64_t align = MAP_TYPES_VALUE_ALIGN;

	return (bytes + align - 1) / align * align;
}

static uint64_t possible_cpus(void)
{
	int cpus = libbpf_num_possible_cpus();

	return cpus > 0 ? (uint64_t)cpus : 1;
}

/* 7/5 bits per entry and hash function, rounded up to a power of two. */
static uint64_t bloom_filter(const struct map_spec *spec)
{
	uint64_t functions = spec->extra ? spec->extra & 15 : 5;
	uint64_t bits = spec->max_entries * functions / 5 * 7, size = 64;

	while (size < bits && size < 1ull << 32)
		size *= 2;
	return size / 8;
}

static uint64_t ring(const struct map_spec *spec)
{
	return spec->max_entries;
}

static uint64_t arena(const struct map_spec *spec)
{
	return multiply(spec->max_entries, (uint64_t)sysconf(_SC_PAGESIZE));
}

static uint64_t cpumap(const struct map_spec *spec)
{
	uint64_t cpus = possible_cpus();

	return CPU_BYTES *
	       (spec->max_entries < cpus ? spec->max_entries : cpus);
}

static uint64_t devmap(const struct map_spec *spec)
{
	return multiply(spec->max_entries, DEVICE_BYTES);
}

static uint64_t lpm_trie(const struct map_spec *spec)
{
	return multiply(spec->max_entries,
			TRIE_NODES *
				(aligned(spec->key_size) +
				 aligned(spec->value_size) + HASH_OVERHEAD));
}

static uint64_t entry_bytes(const struct map_spec *spec)
{
	unsigned traits = map_types_traits(spec->type);
	uint64_t key = spec->key_size, value = spec->value_size;

	if (traits & MAP_PER_CPU)
		value = aligned(value) * possible_cpus();
	if (traits & MAP_ALL_EXIST) { /* keys are not stored */
		key = traits & MAP_PER_CPU ? sizeof(void *) : 0;
		value = aligned(value);
	} else if (traits & MAP_BUCKETS) {
		key = aligned(key);
		value = aligned(value) + (spec->flags & BPF_F_NO_PREALLOC
						  ? GROWING_OVERHEAD
						  : HASH_OVERHEAD);
	}
	return multiply(spec->max_entries, key + value);
}

static const struct {
	const char *name;
	uint64_t (*needed)(const struct map_spec *spec);
} types[] = {
	{ "bloom_filter", bloom_filter },
	{ "ringbuf", ring },
	{ "user_ringbuf", ring },
	{ "arena", arena },
	{ "cpumap", cpumap },
	{ "devmap", devmap },
	{ "devmap_hash", devmap },
	{ "lpm_trie", lpm_trie },
};

uint64_t map_size_needed(const struct map_spec *spec)
{
	const char *name = map_type_name(spec->type);

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (name && strcmp(types[i].name, name) == 0)
			return types[i].needed(spec);
	return name ? entry_bytes(spec) : 0;
}

/*
 * The number of buckets is a power of two, up to twice that of entries. A
 * preallocated map has spare entries for each CPU.
 */
uint64_t map_size_most(const struct map_spec *spec)
{
	uint64_t entry =
		(uint64_t)spec->key_size + spec->value_size + GROWING_OVERHEAD;
	uint64_t around = MAP_OVERHEAD + possible_cpus() * entry +
			  (uint64_t)spec->max_entries * BUCKET_BYTES;
	uint64_t needed = map_size_needed(spec), most;

	return __builtin_add_overflow(needed, around, &most) ? UINT64_MAX
							     : most;
}
