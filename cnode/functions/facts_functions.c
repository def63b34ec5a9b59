/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this host is, and words for the numbers that its kernel has:
 *
 *	host() -> #{name, kernel, machine, version => binary(),
 *	            cpus => #{online, possible},
 *	            uptime, boot => integer(),
 *	            features => the options of features(),
 *	            interfaces => #{Index => Name},
 *	            cgroups => #{Id => Path}}
 *
 * Interfaces are those of this process's network namespace; paths of cgroups
 * begin at the folder where version 2 is mounted, which is <<"/">>. Names are
 * bytes. Past the limits below the rest is left out.
 */
#include <bpf/libbpf.h>
#include <errno.h>
#include <limits.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "base/budget.h"
#include "call/call.h"
#include "config.h"
#include "functions/handlers.h"
#include "host/cgroups.h"
#include "host/cpus.h"
#include "host/interfaces.h"
#include "host/names.h"

#define MOST_INTERFACES 4096
#define MOST_CGROUPS 16384
#define MOST_DEPTH 32 /* of cgroups in each other */
#define FIRST_ITEMS 64
#define ENOUGH 1 /* ends a visit */

static void write_text(struct term_writer *w, const char *key, const char *text)
{
	term_write_atom(w, key);
	term_write_binary(w, text, strlen(text));
}

/* --- Items ---------------------------------------------------------------- */

/* What was found so far, in the buffer of batches. */
struct found {
	struct call *call;
	size_t item_size;
	uint32_t most;
	uint32_t count;
	uint32_t capacity;
	char *items;
	uint32_t of; /* a cgroup: those in it are looked for */
};

/* Room for one more; NULL with an exception. */
static void *add_item(struct found *found)
{
	if (found->count == found->capacity) {
		found->capacity =
			found->capacity ? found->capacity * 2 : FIRST_ITEMS;
		found->items = call_batch_buffer(
			found->call, found->capacity * found->item_size);
		if (!found->items)
			return NULL;
	}
	return found->items + found->count++ * found->item_size;
}

/* qsort(3) allocates as much memory again. */
static bool sort(struct found *found,
		 int (*compare)(const void *, const void *))
{
	struct account *account = found->call->context->account;
	size_t size = found->count * found->item_size;

	if (found->count == 0)
		return true;
	if (!budget_reserve(account, size))
		return raise_no_memory(found->call);
	qsort(found->items, found->count, found->item_size, compare);
	budget_release(account, size);
	return true;
}

/* --- Interfaces ----------------------------------------------------------- */

struct interface {
	uint32_t index;
	char name[IF_NAMESIZE];
};

static int add_interface(void *context, const char *name)
{
	struct found *found = context;
	struct interface *interface;
	uint32_t index;

	if (found->count == found->most || !call_goes_on(found->call))
		return ENOUGH;
	if (names_interface(name, &index) < 0) /* it is gone */
		return 0;
	interface = add_item(found);
	if (!interface)
		return ENOUGH;
	interface->index = index;
	strncpy(interface->name, name, sizeof(interface->name) - 1);
	interface->name[sizeof(interface->name) - 1] = '\0';
	return 0;
}

static int compare_interfaces(const void *a, const void *b)
{
	const struct interface *one = a, *other = b;

	return (one->index > other->index) - (one->index < other->index);
}

static bool write_interfaces(struct call *call)
{
	struct found found = { .call = call,
			       .item_size = sizeof(struct interface),
			       .most = MOST_INTERFACES };
	int error = interfaces_each(add_interface, &found);
	const struct interface *all = (const void *)found.items;
	uint32_t n = 0;
	size_t map;

	if (error < 0)
		return raise_errno(call, error);
	if (call->raised.reason != RAISED_NOTHING)
		return false;
	if (!sort(&found, compare_interfaces))
		return false;
	term_write_atom(call->out, "interfaces");
	map = term_write_map_open(call->out);
	for (uint32_t i = 0; i < found.count; i++) {
		if (i > 0 && all[i].index == all[i - 1].index)
			continue; /* it was renamed */
		term_write_uint(call->out, all[i].index);
		term_write_binary(call->out, all[i].name, strlen(all[i].name));
		n++;
	}
	term_write_map_close(call->out, map, n);
	return true;
}

/* --- Cgroups -------------------------------------------------------------- */

/* Its path is in the answer. */
struct cgroup {
	uint64_t id;
	size_t path;
	uint16_t path_size;
	uint16_t depth;
};

static struct cgroup *cgroup(const struct found *found, uint32_t n)
{
	return (struct cgroup *)(void *)found->items + n;
}

static bool write_cgroup(struct found *found, const char *path, size_t size,
			 struct cgroup made)
{
	struct term_writer *w = found->call->out;
	struct cgroup *added = add_item(found);

	if (!added)
		return false;
	term_write_uint(w, made.id);
	term_write_binary(w, path, size);
	made.path = w->pos - size;
	made.path_size = (uint16_t)size;
	*added = made;
	return !w->failed;
}

static int add_cgroup(void *context, const char *name, uint64_t id)
{
	struct found *found = context;
	struct cgroup in = *cgroup(found, found->of);
	size_t size = in.path_size > 1 ? in.path_size : 0;
	size_t name_size = strlen(name);
	char path[PATH_MAX];

	if (found->count == found->most || !call_goes_on(found->call))
		return ENOUGH;
	if (size + 1 + name_size >= sizeof(path))
		return 0;
	memcpy(path, found->call->out->buf + in.path, size);
	path[size] = '/';
	memcpy(path + size + 1, name, name_size + 1);
	in.id = id;
	in.depth++;
	return write_cgroup(found, path, size + 1 + name_size, in) ? 0 : ENOUGH;
}

/* Those in the cgroup found->of. */
static int list_cgroup(struct found *found, int root)
{
	const struct cgroup *in = cgroup(found, found->of);
	const char *text = found->call->out->buf + in->path;
	char path[PATH_MAX] = ".";

	if (in->depth == MOST_DEPTH)
		return 0;
	if (in->path_size > 1) { /* without its slash */
		memcpy(path, text + 1, in->path_size - 1);
		path[in->path_size - 1] = '\0';
	}
	return cgroups_list(root, path, add_cgroup, found);
}

/* Level by level: what is left out past the limit is what lies deepest. */
static int list_all(struct found *found, int root)
{
	int result = 0;

	for (; result == 0 && found->of < found->count; found->of++)
		result = list_cgroup(found, root);
	return result;
}

static int compare_ids(const void *a, const void *b)
{
	const struct cgroup *one = a, *other = b;

	return (one->id > other->id) - (one->id < other->id);
}

/* A map in which a key is twice is no term. */
static bool check_ids(struct found *found)
{
	if (!sort(found, compare_ids))
		return false;
	for (uint32_t i = 1; i < found->count; i++)
		if (cgroup(found, i)->id == cgroup(found, i - 1)->id)
			return raise_errno(found->call, -EAGAIN);
	return true;
}

static bool write_cgroups(struct call *call)
{
	struct found found = { .call = call,
			       .item_size = sizeof(struct cgroup),
			       .most = MOST_CGROUPS };
	int root = call->context->common->cgroups, error = 0;
	struct cgroup top = { .depth = 0 };
	size_t map;

	term_write_atom(call->out, "cgroups");
	map = term_write_map_open(call->out);
	if (root >= 0 && cgroups_root_id(root, &top.id) == 0 &&
	    write_cgroup(&found, "/", 1, top))
		error = list_all(&found, root);
	if (error < 0)
		return raise_errno(call, error);
	if (call->raised.reason != RAISED_NOTHING || !check_ids(&found))
		return false;
	term_write_map_close(call->out, map, found.count);
	return true;
}

/* --- The host ------------------------------------------------------------- */

static void write_cpus(struct term_writer *w)
{
	int possible = libbpf_num_possible_cpus(), online = cpus_online();
	size_t map;

	if (online < 0) /* none that the kernel tells of */
		online = possible;
	term_write_atom(w, "cpus");
	map = term_write_map_open(w);
	term_write_entry(w, "online", (uint64_t)online);
	term_write_entry(w, "possible", (uint64_t)possible);
	term_write_map_close(w, map, 2);
}

/* The clocks are read one after the other: rounded, boot stays the same. */
static void write_times(struct term_writer *w)
{
	struct timespec now = { 0 }, up = { 0 };
	int64_t boot;

	clock_gettime(CLOCK_BOOTTIME, &up);
	clock_gettime(CLOCK_REALTIME, &now);
	boot = now.tv_sec - up.tv_sec;
	if (now.tv_nsec - up.tv_nsec >= 500000000)
		boot++;
	else if (now.tv_nsec - up.tv_nsec < -500000000)
		boot--;
	term_write_entry(w, "uptime", (uint64_t)up.tv_sec);
	term_write_entry(w, "boot", boot > 0 ? (uint64_t)boot : 0);
}

bool facts_functions_host(struct call *call)
{
	struct term_writer *w = call->out;
	size_t map = term_write_map_open(w);
	struct utsname names;

	if (uname(&names) < 0)
		return raise_errno(call, -errno);
	write_text(w, "name", names.nodename);
	write_text(w, "kernel", names.release);
	write_text(w, "machine", names.machine);
	write_text(w, "version", PACKAGE_VERSION);
	write_cpus(w);
	write_times(w);
	term_write_atom(w, "features");
	features_functions_write_options(call);
	if (!write_interfaces(call) || !write_cgroups(call))
		return false;
	term_write_map_close(w, map, 10);
	return true;
}
