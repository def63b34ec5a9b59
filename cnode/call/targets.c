/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a program is attached, as a term:
 *
 *	Target = {tracepoint, Category, Name} | {raw_tracepoint, Name} | btf
 *	       | {kprobe | kretprobe, Function, Offset}
 *	       | {xdp, Interface, native | generic}
 *	       | {tc, Interface, ingress | egress,
 *	          first | last | {before | after, link()}}
 *	       | {cgroup, Path} | {netns, Path | own} | {sockmap, Map}
 *	       | {perf, cpu_clock, Hz} | auto
 *
 * Names are atoms, binaries or strings; an Interface is a name or an index.
 * To add one, add a reader and a row here, and one in bpf/attach.c.
 */
#include "call/targets.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/link.h"
#include "bpf/program.h"
#include "call/loading.h"
#include "call/objects.h"
#include "call/refusal.h"
#include "host/names.h"
#include "limits/map_memory.h"

#define MAX_PARTS 4
#define MAX_HZ 100000 /* as /proc/sys/kernel/perf_event_max_sample_rate */
/* Of a path, as a list of characters. */
#define MAX_SIZE ((size_t)3 * PATH_MAX)

/* A target that is being read. */
struct reading {
	struct call *call;
	struct attach_target *target;
	int error; /* -errno of what is not there */
};

/* --- Parts --------------------------------------------------------------- */

static bool read_name(struct reading *reading, struct term t,
		      char name[ATTACH_NAME_SIZE], const char *what)
{
	return (term_read_text(t, name, ATTACH_NAME_SIZE) && *name) ||
	       loading_wrong(reading->call,
			     "the %s of the target is not a text of 1 to %d "
			     "bytes",
			     what, ATTACH_NAME_SIZE - 1);
}

static bool read_interface(struct reading *reading, struct term t)
{
	char name[64];

	if (term_read_uint32(t, &reading->target->ifindex))
		return reading->target->ifindex > 0 ||
		       loading_wrong(reading->call, "no interface has index 0");
	if (!term_read_text(t, name, sizeof(name)))
		return loading_wrong(reading->call,
				     "the interface of the target is neither "
				     "its name nor its index");
	reading->error = names_interface(name, &reading->target->ifindex);
	return true;
}

/* One of two atoms; *second says which. */
static bool read_either(struct reading *reading, struct term t,
			const char *first_name, const char *second_name,
			bool *second)
{
	*second = term_is_atom(t, second_name);
	return *second || term_is_atom(t, first_name) ||
	       loading_wrong(reading->call,
			     "a part of the target is neither %s nor %s",
			     first_name, second_name);
}

/* Kept by the call; -errno is an error of the target. */
static bool keep_fd(struct reading *reading, int fd, enum refusal refusal,
		    const char *path)
{
	if (fd == -EACCES)
		return refusal_raise(reading->call, refusal, path);
	if (fd < 0)
		reading->error = fd;
	else
		reading->call->value_fd = reading->target->fd = fd;
	return true;
}

/* --- Targets ------------------------------------------------------------- */

static bool read_tracepoint(struct reading *reading, const struct term *parts)
{
	return read_name(reading, parts[0], reading->target->category,
			 "category") &&
	       read_name(reading, parts[1], reading->target->name, "name");
}

static bool read_raw_tracepoint(struct reading *reading,
				const struct term *parts)
{
	return read_name(reading, parts[0], reading->target->name, "name");
}

static bool read_btf(struct reading *reading, const struct term *parts)
{
	(void)reading;
	(void)parts;
	return true;
}

static bool read_probe(struct reading *reading, const struct term *parts)
{
	return read_name(reading, parts[0], reading->target->name,
			 "function") &&
	       (term_read_uint64(parts[1], &reading->target->offset) ||
		loading_wrong(reading->call,
			      "the offset of the target is no number of "
			      "bytes"));
}

static bool read_xdp(struct reading *reading, const struct term *parts)
{
	return read_interface(reading, parts[0]) &&
	       read_either(reading, parts[1], "native", "generic",
			   &reading->target->generic);
}

static bool read_relative(struct reading *reading, struct term t)
{
	struct attach_target *target = reading->target;
	struct term pair[2];
	bool after;

	if (!term_tuple_of(t, pair, 2))
		return loading_wrong(reading->call,
				     "the place in the chain is none of first, "
				     "last, {before, Link}, {after, Link}");
	if (!read_either(reading, pair[0], "before", "after", &after) ||
	    !objects_read_link(reading->call, pair[1]))
		return false;
	target->order = after ? ATTACH_AFTER : ATTACH_BEFORE;
	target->relative_fd = reading->call->link->resource.fd;
	return true;
}

static bool read_tc(struct reading *reading, const struct term *parts)
{
	struct attach_target *target = reading->target;

	if (!read_interface(reading, parts[0]) ||
	    !read_either(reading, parts[1], "ingress", "egress",
			 &target->egress))
		return false;
	target->order =
		term_is_atom(parts[2], "first") ? ATTACH_FIRST : ATTACH_LAST;
	return target->order == ATTACH_FIRST ||
	       term_is_atom(parts[2], "last") ||
	       read_relative(reading, parts[2]);
}

static bool read_cgroup(struct reading *reading, const struct term *parts)
{
	char path[PATH_MAX];

	return call_read_path(reading->call, parts[0], path) &&
	       keep_fd(reading, names_open_cgroup(path), REFUSAL_NO_CGROUP,
		       path);
}

static bool read_netns(struct reading *reading, const struct term *parts)
{
	const struct call_common *common = reading->call->context->common;
	char path[PATH_MAX];

	if (term_is_atom(parts[0], "own")) {
		reading->target->fd = common->own_netns;
		return true;
	}
	return call_read_path(reading->call, parts[0], path) &&
	       keep_fd(reading, names_open_netns(&common->netns_root, path),
		       REFUSAL_OUTSIDE_NETNS_ROOT, path);
}

static bool read_sockmap(struct reading *reading, const struct term *parts)
{
	struct call *call = reading->call;

	if (!call_read_program_map(call, parts[0], NULL, &call->value_map))
		return false;
	map_memory_will_be_used(call->value_map);
	reading->target->fd = call->value_map->resource.fd;
	return true;
}

static bool read_perf(struct reading *reading, const struct term *parts)
{
	uint32_t *hz = &reading->target->hz;

	if (!term_is_atom(parts[0], "cpu_clock"))
		return loading_wrong(reading->call,
				     "the only event of {perf, Event, Hz} is "
				     "cpu_clock");
	return (term_read_uint32(parts[1], hz) && *hz > 0 && *hz <= MAX_HZ) ||
	       loading_wrong(reading->call,
			     "the frequency of the target is not a number "
			     "from 1 to %d",
			     MAX_HZ);
}

/* The names are those of attach_rows. */
static const struct {
	uint32_t parts; /* behind the name */
	bool (*read)(struct reading *reading, const struct term *parts);
} readers[ATTACH_KINDS] = {
	[ATTACH_TRACEPOINT] = { 2, read_tracepoint },
	[ATTACH_RAW_TRACEPOINT] = { 1, read_raw_tracepoint },
	[ATTACH_BTF] = { 0, read_btf },
	[ATTACH_KPROBE] = { 2, read_probe },
	[ATTACH_KRETPROBE] = { 2, read_probe },
	[ATTACH_XDP] = { 2, read_xdp },
	[ATTACH_TC] = { 3, read_tc },
	[ATTACH_CGROUP] = { 1, read_cgroup },
	[ATTACH_NETNS] = { 1, read_netns },
	[ATTACH_SOCKMAP] = { 1, read_sockmap },
	[ATTACH_PERF] = { 2, read_perf },
};

/* --- What the section's name says ---------------------------------------- */

/* Without those that need a file or an interface: callers name those. */
static const struct {
	const char *prefix;
	enum attach_kind kind;
} sections[] = {
	{ "tracepoint/", ATTACH_TRACEPOINT },
	{ "tp/", ATTACH_TRACEPOINT },
	{ "raw_tracepoint/", ATTACH_RAW_TRACEPOINT },
	{ "raw_tracepoint.w/", ATTACH_RAW_TRACEPOINT },
	{ "raw_tp/", ATTACH_RAW_TRACEPOINT },
	{ "raw_tp.w/", ATTACH_RAW_TRACEPOINT },
	{ "kprobe/", ATTACH_KPROBE },
	{ "kretprobe/", ATTACH_KRETPROBE },
	{ "tp_btf/", ATTACH_BTF },
	{ "fentry/", ATTACH_BTF },
	{ "fentry.s/", ATTACH_BTF },
	{ "fexit/", ATTACH_BTF },
	{ "fexit.s/", ATTACH_BTF },
	{ "fmod_ret/", ATTACH_BTF },
	{ "fmod_ret.s/", ATTACH_BTF },
	{ "lsm/", ATTACH_BTF },
	{ "lsm.s/", ATTACH_BTF },
};

/* Copies up to a delimiter, and returns what is behind it; NULL: too long. */
static const char *copy_until(const char *text, char delimiter,
			      char name[ATTACH_NAME_SIZE])
{
	const char *end = strchr(text, delimiter);
	size_t size = end ? (size_t)(end - text) : strlen(text);

	if (size == 0 || size >= ATTACH_NAME_SIZE)
		return NULL;
	memcpy(name, text, size);
	name[size] = '\0';
	return text + size + (end != NULL);
}

/* CATEGORY/NAME, NAME, or FUNCTION+OFFSET */
static bool read_rest(const char *rest, struct attach_target *target)
{
	char *end;

	switch (target->kind) {
	case ATTACH_TRACEPOINT:
		rest = copy_until(rest, '/', target->category);
		break;
	case ATTACH_KPROBE:
	case ATTACH_KRETPROBE:
		rest = copy_until(rest, '+', target->name);
		if (rest && *rest) {
			target->offset = strtoull(rest, &end, 0);
			return *end == '\0';
		}
		return rest;
	case ATTACH_BTF:
		return true;
	default:
		break;
	}
	rest = rest ? copy_until(rest, '\0', target->name) : NULL;
	return rest;
}

static bool read_section(struct call *call, const struct program *program,
			 struct attach_target *target)
{
	const char *section = program->section ? program->section : "";

	for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
		size_t size = strlen(sections[i].prefix);

		if (strncmp(section, sections[i].prefix, size) != 0)
			continue;
		target->kind = sections[i].kind;
		if (read_rest(section + size, target))
			return true;
	}
	return loading_wrong(call,
			     "the section \"%.100s\" of program %.100s names "
			     "no target: attach takes one in place of auto",
			     section, program_name(program));
}

/* Only what a section's name can say. */
static void write_section(struct term_writer *w,
			  const struct attach_target *target)
{
	switch (target->kind) {
	case ATTACH_TRACEPOINT:
		term_write_tuple(w, 3);
		term_write_atom(w, attach_rows[target->kind].name);
		term_write_binary(w, target->category,
				  strlen(target->category));
		term_write_binary(w, target->name, strlen(target->name));
		break;
	case ATTACH_RAW_TRACEPOINT:
		term_write_tuple(w, 2);
		term_write_atom(w, attach_rows[target->kind].name);
		term_write_binary(w, target->name, strlen(target->name));
		break;
	case ATTACH_KPROBE:
	case ATTACH_KRETPROBE:
		term_write_tuple(w, 3);
		term_write_atom(w, attach_rows[target->kind].name);
		term_write_binary(w, target->name, strlen(target->name));
		term_write_uint(w, target->offset);
		break;
	default:
		term_write_atom(w, attach_rows[target->kind].name);
		break;
	}
}

/* --- To keep ------------------------------------------------------------- */

/* btf is a name alone; the others are tuples that begin with one. */
static uint32_t split(struct term t, struct term parts[MAX_PARTS])
{
	struct term_items items;
	uint32_t n;

	parts[0] = t;
	if (!term_tuple(t, &items))
		return 1;
	if (items.left > MAX_PARTS)
		return 0;
	n = term_next_some(&items, parts, MAX_PARTS);
	return term_end(&items) ? n : 0;
}

/*
 * The link is known by its reference: without its own target, which may have
 * another link in it, and so on.
 */
static void write_beside(const struct call *call, struct term_writer *w,
			 const struct term *parts, const struct term *place)
{
	const char *kind = link_type_name(call->link->type);
	struct term handle[2] = { place[1], place[1] };
	struct term_items items;

	if (term_tuple(place[1], &items))
		term_next_some(&items, handle, 2);
	term_write_tuple(w, 4);
	for (int i = 0; i < 3; i++)
		term_write_term(w, parts[i]);
	term_write_tuple(w, 2);
	term_write_term(w, place[0]);
	term_write_tuple(w, 4);
	term_write_term(w, handle[0]);
	term_write_term(w, handle[1]);
	term_write_atom(w, kind ? kind : "none");
	term_write_atom(w, "none");
}

void targets_write(const struct call *call, struct term_writer *w,
		   struct term t, const struct attach_target *target)
{
	struct term parts[MAX_PARTS], place[2];

	if (term_is_atom(t, "auto"))
		write_section(w, target);
	else if (target->relative_fd >= 0 && split(t, parts) == 4 &&
		 term_tuple_of(parts[3], place, 2))
		write_beside(call, w, parts, place);
	else
		term_write_term(w, t);
}

/* --- In words ------------------------------------------------------------- */

static void describe_place(int fd, char text[TARGETS_TEXT_SIZE])
{
	char path[PATH_MAX];

	if (names_path_of(fd, path) < 0)
		path[0] = '\0';
	snprintf(text, TARGETS_TEXT_SIZE, "%s", path);
}

static void describe_rest(const struct call *call,
			  const struct attach_target *target,
			  char text[TARGETS_TEXT_SIZE])
{
	size_t size = TARGETS_TEXT_SIZE;

	switch (target->kind) {
	case ATTACH_TRACEPOINT:
		snprintf(text, size, "%s/%s", target->category, target->name);
		break;
	case ATTACH_RAW_TRACEPOINT:
		snprintf(text, size, "%s", target->name);
		break;
	case ATTACH_KPROBE:
	case ATTACH_KRETPROBE:
		snprintf(text, size, "%s+%llu", target->name,
			 (unsigned long long)target->offset);
		break;
	case ATTACH_XDP:
		snprintf(text, size, "%u %s", target->ifindex,
			 target->generic ? "generic" : "native");
		break;
	case ATTACH_TC:
		snprintf(text, size, "%u %s", target->ifindex,
			 target->egress ? "egress" : "ingress");
		break;
	case ATTACH_CGROUP:
	case ATTACH_NETNS:
		describe_place(target->fd, text);
		break;
	case ATTACH_SOCKMAP:
		snprintf(text, size, "%u", call->value_map->resource.id);
		break;
	case ATTACH_PERF:
		snprintf(text, size, "cpu_clock %u", target->hz);
		break;
	default:
		break;
	}
}

void targets_describe(const struct call *call,
		      const struct attach_target *target,
		      char text[TARGETS_TEXT_SIZE])
{
	const char *name = attach_rows[target->kind].name;
	size_t size = (size_t)snprintf(text, TARGETS_TEXT_SIZE, "%s ", name);
	char rest[TARGETS_TEXT_SIZE] = "";

	describe_rest(call, target, rest);
	snprintf(text + size, TARGETS_TEXT_SIZE - size, "%s", rest);
	if (!*rest)
		text[size - 1] = '\0';
}

/* --- All ----------------------------------------------------------------- */

/* A link keeps it; what the handle of another one bears is not kept. */
static bool check_size(struct call *call, struct term t,
		       const struct term *parts, uint32_t n)
{
	struct term place[2];
	size_t size = t.size;

	if (n == 4 && term_tuple_of(parts[3], place, 2))
		size -= place[1].size;
	return size <= MAX_SIZE ||
	       loading_wrong(call, "the target has %zu bytes, more than %zu",
			     size, MAX_SIZE);
}

bool targets_read(struct call *call, struct term t,
		  const struct program *program, struct attach_target *target,
		  int *error)
{
	struct reading reading = { .call = call, .target = target };
	struct term parts[MAX_PARTS];
	uint32_t n = split(t, parts);

	*target = (struct attach_target){ .fd = -1, .relative_fd = -1 };
	*error = 0;
	if (!check_size(call, t, parts, n))
		return false;
	if (term_is_atom(t, "auto"))
		return read_section(call, program, target);
	for (int i = 0; n > 0 && i < ATTACH_KINDS; i++) {
		if (!term_is_atom(parts[0], attach_rows[i].name) ||
		    n != readers[i].parts + 1)
			continue;
		target->kind = (enum attach_kind)i;
		if (!readers[i].read(&reading, parts + 1))
			return false;
		*error = reading.error;
		return true;
	}
	return loading_wrong(call, "the target is of no kind that this node "
				   "knows, or has another number of parts");
}
