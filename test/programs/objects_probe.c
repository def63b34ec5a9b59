/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lies below the functions of programs, tried by itself: links the node's
 * own objects and works on the real kernel.
 *
 *	objects_probe attach CGROUP    attaches to the interface lo, and so on
 *	objects_probe order            of programs of tc at lo
 *	objects_probe pins FOLDER      in a bpf file system
 *	objects_probe places           in the table of handles
 *	objects_probe memory
 *
 * Prints a line for each thing done: its name, then numbers and words.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bpf/attach.h"
#include "bpf/kernel_types.h"
#include "bpf/link.h"
#include "bpf/map.h"
#include "bpf/pins.h"
#include "bpf/program.h"
#include "bpf/resource_pin.h"
#include "handles/handles.h"
#include "limits/map_memory.h"
#include "tls/cert_names.h"

#define KIB 1024u

static const char *word(int error)
{
	return error < 0 ? strerrorname_np(-error) : "ok";
}

static void *must(void *pointer)
{
	if (!pointer)
		abort();
	return pointer;
}

static int load(uint32_t type, uint32_t expected, int returned)
{
	struct bpf_insn instructions[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = returned },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, options,
		    .expected_attach_type = (enum bpf_attach_type)expected);
	int fd = bpf_prog_load((enum bpf_prog_type)type, "probe", "GPL",
			       instructions, 2, &options);

	if (fd < 0) {
		perror("bpf_prog_load");
		abort();
	}
	return fd;
}

static struct program *new_program(uint32_t type, uint32_t expected,
				   int returned)
{
	struct program *program = NULL;

	program_adopt(load(type, expected, returned), &program);
	return must(program);
}

static struct map *new_map(uint32_t entries)
{
	struct map *map = NULL;

	map_adopt(bpf_map_create(BPF_MAP_TYPE_ARRAY, "probe", 4, 8, entries,
				 NULL),
		  &map);
	return must(map);
}

/* --- attach ------------------------------------------------------------- */

struct attempt {
	const char *name;
	uint32_t type;
	uint32_t expected;
	int returned;
	struct attach_target target;
};

static const char *update(struct link *link, uint32_t type, uint32_t expected,
			  int returned)
{
	struct program *other = new_program(type, expected, returned);
	int error = link_update(link, other);
	bool is_it = link->program_id == other->resource.id;

	resource_unref(&other->resource);
	return error == 0 && !is_it ? "stale" : word(error);
}

static void show_link(const struct attempt *attempt, struct link *link)
{
	struct link_info info = { .id = 0 };
	int error = link_get_info(link, &info);

	printf(" %s %s if %u place '%s' known %d update %s", word(error),
	       link_type_name(info.type), info.ifindex, info.place,
	       (info.cgroup_id || info.netns_inode || info.map_id),
	       update(link, attempt->type, attempt->expected,
		      attempt->returned));
	printf(" other %s", update(link, BPF_PROG_TYPE_SOCKET_FILTER, 0, 0));
	printf(" detach %s", word(link_detach(link)));
}

/* Returns the link, which stays attached where it cannot be detached. */
static void attempt(const struct attempt *attempt)
{
	int program = load(attempt->type, attempt->expected, attempt->returned);
	struct link *link = NULL;
	int fd = -1;
	int error = attach_by_fd(program, attempt->type, attempt->expected,
				 &attempt->target, &fd);

	printf("%s: %s", attempt->name, word(error));
	if (error == 0)
		error = link_adopt(&fd, 1, &link);
	if (link) {
		show_link(attempt, link);
		resource_unref(&link->resource);
	}
	printf("\n");
	close(program);
}

#define TO(its_kind, ...)                                                      \
	{                                                                      \
		.kind = (its_kind), __VA_ARGS__                                \
	}

static int attach(const char *cgroup)
{
	int folder = open(cgroup, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	int sockmap =
		bpf_map_create(BPF_MAP_TYPE_SOCKMAP, "probe", 4, 4, 2, NULL);
	uint32_t lo = if_nametoindex("lo");
	const struct attempt attempts[] = {
		{ "raw_tracepoint", BPF_PROG_TYPE_RAW_TRACEPOINT, 0, 0,
		  TO(ATTACH_RAW_TRACEPOINT, .name = "sys_enter") },
		{ "no_raw_tracepoint", BPF_PROG_TYPE_RAW_TRACEPOINT, 0, 0,
		  TO(ATTACH_RAW_TRACEPOINT, .name = "nonsense") },
		{ "btf_of_none", BPF_PROG_TYPE_RAW_TRACEPOINT, 0, 0,
		  TO(ATTACH_BTF) },
		{ "xdp_generic", BPF_PROG_TYPE_XDP, 0, XDP_PASS,
		  TO(ATTACH_XDP, .ifindex = lo, .generic = true) },
		{ "xdp_native", BPF_PROG_TYPE_XDP, 0, XDP_PASS,
		  TO(ATTACH_XDP, .ifindex = lo) },
		{ "xdp_of_tc", BPF_PROG_TYPE_SCHED_CLS, 0, 0,
		  TO(ATTACH_XDP, .ifindex = lo, .generic = true) },
		{ "tc_first", BPF_PROG_TYPE_SCHED_CLS, 0, -1,
		  TO(ATTACH_TC, .ifindex = lo, .order = ATTACH_FIRST) },
		{ "tc_last", BPF_PROG_TYPE_SCHED_CLS, 0, -1,
		  TO(ATTACH_TC, .ifindex = lo, .order = ATTACH_LAST,
		     .egress = true) },
		{ "tc_nowhere", BPF_PROG_TYPE_SCHED_CLS, 0, -1,
		  TO(ATTACH_TC, .ifindex = 99999, .order = ATTACH_LAST) },
		{ "tc_before_none", BPF_PROG_TYPE_SCHED_CLS, 0, -1,
		  TO(ATTACH_TC, .ifindex = lo, .order = ATTACH_BEFORE,
		     .relative_fd = -1) },
		{ "tc_of_act", BPF_PROG_TYPE_SCHED_ACT, 0, 0,
		  TO(ATTACH_TC, .ifindex = lo, .order = ATTACH_LAST) },
		{ "cgroup_skb", BPF_PROG_TYPE_CGROUP_SKB,
		  BPF_CGROUP_INET_EGRESS, 1, TO(ATTACH_CGROUP, .fd = folder) },
		{ "cgroup_connect", BPF_PROG_TYPE_CGROUP_SOCK_ADDR,
		  BPF_CGROUP_INET4_CONNECT, 1,
		  TO(ATTACH_CGROUP, .fd = folder) },
		{ "cgroup_device", BPF_PROG_TYPE_CGROUP_DEVICE, 0, 1,
		  TO(ATTACH_CGROUP, .fd = folder) },
		{ "sock_ops", BPF_PROG_TYPE_SOCK_OPS, 0, 1,
		  TO(ATTACH_CGROUP, .fd = folder) },
		{ "cgroup_of_xdp", BPF_PROG_TYPE_XDP, 0, XDP_PASS,
		  TO(ATTACH_CGROUP, .fd = folder) },
		{ "sk_lookup", BPF_PROG_TYPE_SK_LOOKUP, BPF_SK_LOOKUP, 1,
		  TO(ATTACH_NETNS, .fd = netns) },
		{ "sk_msg", BPF_PROG_TYPE_SK_MSG, 0, 1,
		  TO(ATTACH_SOCKMAP, .fd = sockmap) },
		{ "sk_msg_to_none", BPF_PROG_TYPE_SK_MSG, 0, 1,
		  TO(ATTACH_SOCKMAP, .fd = netns) },
		{ "by_loader", BPF_PROG_TYPE_TRACEPOINT, 0, 0,
		  TO(ATTACH_TRACEPOINT) },
	};

	for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++)
		attempt(&attempts[i]);
	return 0;
}

/* --- order -------------------------------------------------------------- */

/* The programs that tc runs at lo, in order: the n-th returns a link. */
static struct link *put(enum attach_order order, const struct link *relative)
{
	struct attach_target target = {
		.kind = ATTACH_TC,
		.ifindex = if_nametoindex("lo"),
		.order = order,
		.relative_fd = relative ? relative->resource.fd : -1,
	};
	int program = load(BPF_PROG_TYPE_SCHED_CLS, 0, -1), fd = -1;
	struct link *link = NULL;

	if (attach_by_fd(program, BPF_PROG_TYPE_SCHED_CLS, 0, &target, &fd) ==
	    0)
		link_adopt(&fd, 1, &link);
	close(program);
	return must(link);
}

/* Prints the ids of the programs as they should run, and as they do. */
static int order(void)
{
	struct link *last = put(ATTACH_LAST, NULL);
	struct link *first = put(ATTACH_FIRST, NULL);
	struct link *before = put(ATTACH_BEFORE, last);
	struct link *after = put(ATTACH_AFTER, first);
	uint32_t ids[8], count = 8;
	int error =
		bpf_prog_query((int)if_nametoindex("lo"),
			       (enum bpf_attach_type)KERNEL_ATTACH_TCX_INGRESS,
			       0, NULL, ids, &count);

	printf("wanted: %u %u %u %u\n", first->program_id, after->program_id,
	       before->program_id, last->program_id);
	printf("found:");
	for (uint32_t i = 0; i < count && error == 0; i++)
		printf(" %u", ids[i]);
	printf("\n");
	return 0;
}

/* --- pins --------------------------------------------------------------- */

static void show_pins(const char *name, const struct resource *resource)
{
	static const atomic_bool stopped;
	struct pins pins = { .count = 0 };
	int error = pins_find_of(&pins, resource, &stopped);

	printf("%s: %s %zu\n", name, word(error), pins.count);
	pins_free(&pins);
}

static int pins(const char *folder)
{
	struct program *program = new_program(BPF_PROG_TYPE_XDP, 0, XDP_PASS);
	struct program *other = new_program(BPF_PROG_TYPE_XDP, 0, XDP_PASS);
	struct link *link = put(ATTACH_LAST, NULL), *again = NULL;
	struct map *map = new_map(1);
	char of_program[256], of_link[256], of_map[256];

	snprintf(of_program, sizeof(of_program), "%s/program", folder);
	snprintf(of_link, sizeof(of_link), "%s/link", folder);
	snprintf(of_map, sizeof(of_map), "%s/map", folder);
	printf("pin_program: %s\n",
	       word(resource_pin(&program->resource, of_program)));
	printf("pin_link: %s\n", word(resource_pin(&link->resource, of_link)));
	printf("pin_map: %s\n", word(resource_pin(&map->resource, of_map)));
	show_pins("pins_of_program", &program->resource);
	show_pins("pins_of_other", &other->resource);
	show_pins("pins_of_link", &link->resource);
	show_pins("pins_of_map", &map->resource);
	printf("open_as_link: %s\n",
	       word(link_open_pinned(of_program, &again)));
	printf("unpin_other: %s\n",
	       word(resource_unpin(&other->resource, of_program)));
	/* the same id, but another kind */
	map->resource.id = program->resource.id;
	printf("unpin_kind: %s\n",
	       word(resource_unpin(&map->resource, of_program)));
	printf("unpin_program: %s\n",
	       word(resource_unpin(&program->resource, of_program)));
	resource_unref(&link->resource);
	printf("open_link: %s\n", word(link_open_pinned(of_link, &again)));
	printf("unpin_link: %s\n",
	       word(resource_unpin(&((struct link *)must(again))->resource,
				   of_link)));
	return 0;
}

/* --- places ------------------------------------------------------------- */

static int places(void)
{
	const struct handles_limits limits = { .max = 3,
					       .max_per_node = 2,
					       .max_programs_per_node = UINT32_MAX,
					       .max_programs = 2 };
	struct handles *handles = must(handles_new("probe@here", 1, &limits));
	const struct cert_names names = { NULL, 0 };
	const struct handles_node peer = { "peer@there", 7, "none", &names };
	struct handles_owner *owner;
	struct handles_reservation wanted = { { 1, 1 } }, more = { { 0, 2 } },
				   maps = { { 3, 0 } };
	struct handles_lease lease = { .lifetime = HANDLES_NODE };
	struct program *program = new_program(BPF_PROG_TYPE_XDP, 0, XDP_PASS);
	erlang_ref ref;

	if (handles_owner_up(handles, &peer, &owner) < 0)
		return 1;
	printf("reserve: %s\n", word(handles_reserve(handles, owner, &wanted)));
	printf("reserve_more: %s\n",
	       word(handles_reserve(handles, owner, &more)));
	printf("left_of_it: %u\n", more.left[RESOURCE_PROGRAMS]);
	printf("reserve_maps: %s\n",
	       word(handles_reserve(handles, owner, &maps)));
	for (int i = 0; i < 4; i++) {
		lease.reservation = i < 2 ? NULL : &wanted;
		resource_ref(&program->resource);
		printf("%s: %s\n", i < 2 ? "without" : "with",
		       word(handles_add(handles, owner, &program->resource,
					&lease, &ref)));
	}
	printf("left: %u\n", wanted.left[RESOURCE_PROGRAMS]);
	printf("count: %u\n", handles_count(handles));
	maps.left[RESOURCE_MAPS] = 2;
	printf("maps_before: %s\n",
	       word(handles_reserve(handles, owner, &maps)));
	handles_unreserve(handles, owner, &wanted);
	maps.left[RESOURCE_MAPS] = 2;
	printf("maps_after: %s\n",
	       word(handles_reserve(handles, owner, &maps)));
	handles_unreserve(handles, owner, &maps);
	handles_owner_down(handles, owner);
	handles_free(handles);
	return 0;
}

/* --- memory ------------------------------------------------------------- */

/* Half of the limit each: the third one is too many. */
static int memory(void)
{
	struct map_memory *limit = must(map_memory_new(2048 * KIB));
	struct map *maps[3], *twice = NULL;
	int error;

	printf("left: %d\n", map_memory_left(limit) == 2048 * KIB);
	for (int i = 0; i < 3; i++)
		maps[i] = new_map(100 * KIB);
	error = map_memory_adopt(limit, "peer@there", maps, 2);
	printf("two: %s\n", word(error));
	printf("little: %d\n", map_memory_left(limit) < 500 * KIB);
	map_adopt(fcntl(maps[0]->resource.fd, F_DUPFD_CLOEXEC, 3), &twice);
	error = map_memory_adopt(limit, "peer@there", &twice, 1);
	printf("again: %s\n", word(error));
	map_unref(twice);
	error = map_memory_adopt(limit, "peer@there", maps + 2, 1);
	printf("three: %s\n", word(error));
	map_unref(maps[0]);
	error = map_memory_adopt(limit, "peer@there", maps + 2, 1);
	printf("instead: %s\n", word(error));
	map_unref(maps[1]);
	map_unref(maps[2]);
	printf("left_at_end: %d\n", map_memory_left(limit) == 2048 * KIB);
	map_memory_free(limit);
	return 0;
}

int main(int argc, char *argv[])
{
	const char *what = argc > 1 ? argv[1] : "";

	libbpf_set_print(NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (strcmp(what, "attach") == 0 && argc == 3)
		return attach(argv[2]);
	if (strcmp(what, "order") == 0)
		return order();
	if (strcmp(what, "pins") == 0 && argc == 3)
		return pins(argv[2]);
	if (strcmp(what, "places") == 0)
		return places();
	return strcmp(what, "memory") == 0 ? memory() : 2;
}
