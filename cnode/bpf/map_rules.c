/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's requirements for a new map, type by type, to explain a failure
 * in words: the kernel itself only returns EINVAL or E2BIG. Has only rules that
 * every kernel applies. Limits that depend on its configuration (the CPUs of a
 * cpumap) or on memory are left to the kernel.
 */
#include "bpf/map_rules.h"

#include <ctype.h>
#include <linux/bpf.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bpf/map_types.h"

#define ANY UINT32_MAX
#define MAX_PER_CPU 32768 /* bytes of one CPU's value */
#define MAX_STORAGE 65535 /* bytes of a value and the kernel's header */
/* bytes of the kernel's largest allocation, with 4 KiB pages */
#define MAX_ALLOCATION (4u << 20)
#define MAX_HASH (1u << 27) /* entries; no larger bucket table fits */
#define MAX_BLOOM_FUNCTIONS 15
#define BUILD_ID_SIZE 32 /* of each frame in a stack_trace of build ids */

static const struct map_rules_flag flags[] = {
	{ "no_prealloc", BPF_F_NO_PREALLOC },
	{ "read", BPF_F_RDONLY },
	{ "write", BPF_F_WRONLY },
	{ "zero_seed", BPF_F_ZERO_SEED },
	{ "prog_read", BPF_F_RDONLY_PROG },
	{ "prog_write", BPF_F_WRONLY_PROG },
	{ "clone", BPF_F_CLONE },
	{ "mmapable", BPF_F_MMAPABLE },
	{ "no_common_lru", BPF_F_NO_COMMON_LRU },
	{ "stack_build_id", BPF_F_STACK_BUILD_ID },
	{ "preserve_elems", BPF_F_PRESERVE_ELEMS },
	{ "inner_map_resizable", BPF_F_INNER_MAP },
};

#define FLAGS (sizeof(flags) / sizeof(flags[0]))

bool map_rules_flag(size_t row, struct map_rules_flag *flag)
{
	if (row >= FLAGS)
		return false;
	*flag = flags[row];
	return true;
}

/* --- The table ------------------------------------------------------------ */

/* min, min + step, ... up to max. */
struct range {
	uint32_t min;
	uint32_t max;
	uint32_t step;
};

#define NUMA BPF_F_NUMA_NODE
#define USER (BPF_F_RDONLY | BPF_F_WRONLY)
#define PROG (BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG)
#define HASH (USER | PROG | BPF_F_ZERO_SEED)
#define LRU (HASH | BPF_F_NO_COMMON_LRU)
#define STORAGE (BPF_F_NO_PREALLOC | BPF_F_CLONE)

#define EXACTLY(n)                                                             \
	{                                                                      \
		(n), (n), 1                                                    \
	}
#define EITHER(a, b)                                                           \
	{                                                                      \
		(a), (b), (b) - (a)                                            \
	}
#define FROM(a, b)                                                             \
	{                                                                      \
		(a), (b), 1                                                    \
	}

static const struct rule {
	const char *type;
	struct range key;
	struct range value;
	struct range entries;
	uint32_t flags;   /* allowed */
	uint32_t implied; /* required */
	uint32_t max_sum; /* of key and value, in bytes; 0: no limit */
} rules[] = {
	{ "hash", FROM(1, ANY), FROM(1, ANY), FROM(1, MAX_HASH),
	  HASH | NUMA | BPF_F_NO_PREALLOC, 0, MAX_ALLOCATION - 1 },
	{ "percpu_hash", FROM(1, ANY), FROM(1, MAX_PER_CPU), FROM(1, MAX_HASH),
	  HASH | BPF_F_NO_PREALLOC, 0, MAX_ALLOCATION - 1 },
	{ "lru_hash", FROM(1, ANY), FROM(1, ANY), FROM(1, MAX_HASH), LRU | NUMA,
	  0, MAX_ALLOCATION - 1 },
	{ "lru_percpu_hash", FROM(1, ANY), FROM(1, MAX_PER_CPU),
	  FROM(1, MAX_HASH), LRU, 0, MAX_ALLOCATION - 1 },
	{ "hash_of_maps", FROM(1, ANY), EXACTLY(4), FROM(1, MAX_HASH),
	  HASH | NUMA | BPF_F_NO_PREALLOC, 0, MAX_ALLOCATION - 1 },
	{ "array", EXACTLY(4), FROM(1, INT32_MAX), FROM(1, ANY),
	  USER | PROG | NUMA | BPF_F_MMAPABLE | BPF_F_INNER_MAP, 0, 0 },
	{ "percpu_array", EXACTLY(4), FROM(1, MAX_PER_CPU), FROM(1, ANY),
	  USER | PROG, 0, 0 },
	{ "array_of_maps", EXACTLY(4), EXACTLY(4), FROM(1, ANY), USER | NUMA, 0,
	  0 },
	{ "prog_array", EXACTLY(4), EXACTLY(4), FROM(1, ANY), USER | NUMA, 0,
	  0 },
	{ "perf_event_array", EXACTLY(4), EXACTLY(4), FROM(1, ANY),
	  USER | NUMA | BPF_F_PRESERVE_ELEMS, 0, 0 },
	{ "cgroup_array", EXACTLY(4), EXACTLY(4), FROM(1, ANY), USER | NUMA, 0,
	  0 },
	{ "reuseport_sockarray", EXACTLY(4), EITHER(4, 8), FROM(1, ANY),
	  USER | PROG | NUMA, 0, 0 },
	{ "sockmap", EXACTLY(4), EITHER(4, 8), FROM(1, ANY), USER | NUMA, 0,
	  0 },
	{ "sockhash", FROM(1, 512), EITHER(4, 8), FROM(1, ANY), USER | NUMA, 0,
	  0 },
	{ "xskmap", EXACTLY(4), EXACTLY(4), FROM(1, ANY), USER | NUMA, 0, 0 },
	{ "devmap", EXACTLY(4), EITHER(4, 8), FROM(1, ANY), USER | NUMA, 0, 0 },
	{ "devmap_hash", EXACTLY(4), EITHER(4, 8), FROM(1, ANY), USER | NUMA, 0,
	  0 },
	{ "cpumap", EXACTLY(4), EITHER(4, 8), FROM(1, ANY), NUMA, 0, 0 },
	{ "lpm_trie", FROM(5, 260), FROM(1, ANY), FROM(1, ANY),
	  USER | PROG | NUMA | BPF_F_NO_PREALLOC, BPF_F_NO_PREALLOC,
	  MAX_ALLOCATION },
	{ "queue", EXACTLY(0), FROM(1, ANY), FROM(1, ANY), USER | PROG | NUMA,
	  0, MAX_ALLOCATION },
	{ "stack", EXACTLY(0), FROM(1, ANY), FROM(1, ANY), USER | PROG | NUMA,
	  0, MAX_ALLOCATION },
	{ "bloom_filter", EXACTLY(0), FROM(1, ANY), FROM(1, ANY),
	  USER | PROG | NUMA | BPF_F_ZERO_SEED, 0, MAX_ALLOCATION },
	{ "stack_trace",
	  EXACTLY(4),
	  { 8, ANY, 8 },
	  FROM(1, ANY),
	  USER | NUMA | BPF_F_STACK_BUILD_ID,
	  0,
	  0 },
	{ "ringbuf", EXACTLY(0), EXACTLY(0), FROM(1, ANY), NUMA, 0, 0 },
	{ "user_ringbuf", EXACTLY(0), EXACTLY(0), FROM(1, ANY), NUMA, 0, 0 },
	{ "cgroup_storage", EITHER(8, 16), FROM(1, MAX_STORAGE), EXACTLY(0),
	  USER | PROG | NUMA, 0, 0 },
	{ "percpu_cgroup_storage", EITHER(8, 16), FROM(1, MAX_PER_CPU),
	  EXACTLY(0), USER | PROG | NUMA, 0, 0 },
	{ "sk_storage", EXACTLY(4), FROM(1, MAX_STORAGE), EXACTLY(0), STORAGE,
	  BPF_F_NO_PREALLOC, 0 },
	{ "inode_storage", EXACTLY(4), FROM(1, MAX_STORAGE), EXACTLY(0),
	  STORAGE, BPF_F_NO_PREALLOC, 0 },
	{ "task_storage", EXACTLY(4), FROM(1, MAX_STORAGE), EXACTLY(0), STORAGE,
	  BPF_F_NO_PREALLOC, 0 },
	{ "cgrp_storage", EXACTLY(4), FROM(1, MAX_STORAGE), EXACTLY(0), STORAGE,
	  BPF_F_NO_PREALLOC, 0 },
};

static const struct rule *rule_of(const struct map_spec *spec)
{
	const char *name = map_type_name(spec->type);

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (name && strcmp(rules[i].type, name) == 0)
			return &rules[i];
	return NULL;
}

void map_rules_complete(struct map_spec *spec)
{
	const struct rule *rule = rule_of(spec);

	if (rule)
		spec->flags |= rule->implied;
}

/* --- Texts ---------------------------------------------------------------- */

struct check {
	const struct map_spec *spec;
	const struct rule *rule; /* NULL: no rule for the type */
	const char *type;
	bool name_is_valid;
	map_rules_visitor visit;
	void *context;
	unsigned faults;
};

__attribute__((format(printf, 2, 3))) static void
report(struct check *check, const char *format, ...)
{
	char text[MAP_RULES_TEXT_SIZE];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	check->faults++;
	check->visit(text, check->context);
}

static const char *describe(const struct range *range, char buffer[64])
{
	if (range->min == range->max)
		snprintf(buffer, 64, "%u", range->min);
	else if (range->step == range->max - range->min)
		snprintf(buffer, 64, "%u or %u", range->min, range->max);
	else if (range->max == ANY && range->step > 1)
		snprintf(buffer, 64, "a multiple of %u", range->step);
	else if (range->max == ANY)
		snprintf(buffer, 64, "at least %u", range->min);
	else
		snprintf(buffer, 64, "%u to %u", range->min, range->max);
	return buffer;
}

static bool is_in(const struct range *range, uint32_t n)
{
	return n >= range->min && n <= range->max &&
	       (n - range->min) % range->step == 0;
}

static void check_range(struct check *check, const char *what,
			const struct range *range, uint32_t n)
{
	char buffer[64];

	if (!is_in(range, n))
		report(check, "the %s is %u: a map of type %s takes %s", what,
		       n, check->type, describe(range, buffer));
}

/* --- Rules ---------------------------------------------------------------- */

static void check_type(struct check *check)
{
	if (strcmp(check->type, "unspec") == 0)
		report(check, "there are no maps of type unspec");
	if (strcmp(check->type, "struct_ops") == 0)
		report(check, "a map of type struct_ops needs the BTF of its "
			      "program: it can be opened, not created");
}

static void check_name(struct check *check)
{
	if (!check->name_is_valid)
		report(check,
		       "the name is longer than %d bytes, or has a "
		       "zero byte",
		       MAP_NAME_SIZE - 1);
	for (const char *c = check->spec->name; *c; c++) {
		if (isascii(*c) && (isalnum(*c) || *c == '_' || *c == '.'))
			continue;
		report(check,
		       "the name has a byte 0x%02x: it may have ASCII "
		       "letters and digits, _ and .",
		       (unsigned char)*c);
		break;
	}
}

static void check_sizes(struct check *check)
{
	const struct map_spec *spec = check->spec;
	const struct rule *rule = check->rule;

	if (!rule)
		return;
	check_range(check, "key size", &rule->key, spec->key_size);
	check_range(check, "value size", &rule->value, spec->value_size);
	check_range(check, "number of entries", &rule->entries,
		    spec->max_entries);
}

/* MAX_ALLOCATION is only right for 4 KiB pages. */
static void check_sum(struct check *check)
{
	const struct map_spec *spec = check->spec;
	const struct rule *rule = check->rule;

	if (rule && rule->max_sum > 0 && sysconf(_SC_PAGESIZE) == 4096 &&
	    spec->value_size <= rule->value.max &&
	    (uint64_t)spec->key_size + spec->value_size > rule->max_sum)
		report(check,
		       "the key size is %u and the value size %u: a "
		       "map of type %s takes %u in all",
		       spec->key_size, spec->value_size, check->type,
		       rule->max_sum);
}

static void check_ring(struct check *check)
{
	uint32_t size = check->spec->max_entries;
	uint32_t page = (uint32_t)sysconf(_SC_PAGESIZE);

	if (strcmp(check->type, "ringbuf") != 0 &&
	    strcmp(check->type, "user_ringbuf") != 0)
		return;
	if (size > 0 && ((size & (size - 1)) || size % page))
		report(check,
		       "the number of entries is %u: for type %s it "
		       "is the size in bytes, a power of two and a "
		       "multiple of the page size, %u",
		       size, check->type, page);
}

/* Unnamed bits pass: newer kernels may define them. */
static void check_flags(struct check *check)
{
	uint32_t wrong =
		check->rule ? check->spec->flags & ~check->rule->flags : 0;

	for (size_t i = 0; i < FLAGS; i++)
		if (wrong & flags[i].flag)
			report(check, "the option %s does not fit type %s",
			       flags[i].name, check->type);
	if (wrong & BPF_F_NUMA_NODE)
		report(check, "the option numa_node does not fit type %s",
		       check->type);
}

static void check_both(struct check *check, uint32_t both, const char *text)
{
	if ((check->spec->flags & both) == both &&
	    (!check->rule || (check->rule->flags & both) == both))
		report(check,
		       "the options %s exclude each other: to allow "
		       "both, leave out both",
		       text);
}

static void check_pairs(struct check *check)
{
	uint32_t lru = BPF_F_NO_COMMON_LRU | BPF_F_NUMA_NODE;

	check_both(check, USER, "read and write");
	check_both(check, PROG, "prog_read and prog_write");
	if ((check->spec->flags & lru) == lru &&
	    (!check->rule || (check->rule->flags & lru) == lru))
		report(check, "the options no_common_lru and numa_node "
			      "exclude each other");
}

static void check_build_ids(struct check *check)
{
	uint32_t size = check->spec->value_size;

	if (strcmp(check->type, "stack_trace") == 0 &&
	    check->spec->flags & BPF_F_STACK_BUILD_ID && size % 8 == 0 &&
	    size % BUILD_ID_SIZE)
		report(check,
		       "the value size is %u: with the option "
		       "stack_build_id it must be a multiple of %d",
		       size, BUILD_ID_SIZE);
}

static void check_extra(struct check *check)
{
	unsigned long long extra = check->spec->extra;

	if (strcmp(check->type, "bloom_filter") == 0) {
		if (extra > MAX_BLOOM_FUNCTIONS)
			report(check,
			       "map_extra is %llu: for a bloom_filter "
			       "it is the number of hash functions, "
			       "at most %d",
			       extra, MAX_BLOOM_FUNCTIONS);
	} else if (check->rule && extra > 0) {
		report(check, "the option map_extra does not fit type %s",
		       check->type);
	}
}

/* The kernel cannot compare inner maps of these types with a template. */
static bool cannot_be_inner(const char *type)
{
	static const char *const types[] = { "prog_array", "cgroup_storage",
					     "percpu_cgroup_storage",
					     "struct_ops" };

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (strcmp(types[i], type) == 0)
			return true;
	return false;
}

static void check_inner(struct check *check)
{
	const struct map *inner = check->spec->inner;
	const char *type = inner ? map_type_name(inner->type) : NULL;

	if (!(map_types_traits(check->spec->type) & MAP_VALUE_IS_MAP))
		return;
	if (!inner)
		report(check,
		       "a map of type %s needs a template: the option "
		       "{inner_map, Map}",
		       check->type);
	else if (inner->traits & MAP_VALUE_IS_MAP)
		report(check, "the inner map is itself a map of maps: only "
			      "one level is possible");
	else if (type && cannot_be_inner(type))
		report(check, "a map of type %s cannot be an inner map", type);
}

unsigned map_rules_check(const struct map_spec *spec, bool name_is_valid,
			 map_rules_visitor visit, void *context)
{
	static void (*const checks[])(struct check * check) = {
		check_type,  check_name,  check_sizes, check_sum,
		check_ring,  check_flags, check_pairs, check_build_ids,
		check_extra, check_inner,
	};
	struct check check = { .spec = spec,
			       .rule = rule_of(spec),
			       .type = map_type_name(spec->type),
			       .name_is_valid = name_is_valid,
			       .visit = visit,
			       .context = context };

	if (!check.type)
		return 0;
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
		checks[i](&check);
	return check.faults;
}
