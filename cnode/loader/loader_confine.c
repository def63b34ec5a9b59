/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the loader and its children give up. The loader keeps what all of them
 * may need; a child what its job needs, and less once it knows the object.
 */
#include "loader/loader_confine.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/log.h"
#include "bpf/program_words.h"
#include "confine/landlock.h"
#include "confine/privilege.h"
#include "confine/syscalls.h"

#define MAX_PATHS 16
#define TRACEFS "/sys/kernel/tracing"
#define TRACEFS_OF_DEBUGFS "/sys/kernel/debug/tracing"
#define EVENT_SOURCES "/sys/bus/event_source/devices"

static bool has_tracing(uint32_t words)
{
	return program_words_have(words, PROGRAMS_TRACING);
}

/* --- Capabilities ------------------------------------------------------- */

/* tracefs is its owner's alone, and that is root. */
static unsigned privileges_to_attach(void)
{
	return PRIVILEGE_PERFMON | PRIVILEGE_DAC_READ_SEARCH;
}

static unsigned privileges_to_load(uint32_t words)
{
	return PRIVILEGE_BPF | PRIVILEGE_NET_ADMIN |
	       (has_tracing(words) ? PRIVILEGE_PERFMON : 0);
}

/*
 * Before Linux 5.19 each command of bpf(2) may need it, by sysctl
 * kernel.unprivileged_bpf_disabled.
 */
static unsigned privileges_for_bpf(void)
{
	struct utsname host;
	unsigned long major, minor;
	char *rest;

	uname(&host);
	major = strtoul(host.release, &rest, 10);
	minor = *rest == '.' ? strtoul(rest + 1, NULL, 10) : 0;
	return major > 5 || (major == 5 && minor >= 19) ? 0 : PRIVILEGE_BPF;
}

static unsigned privileges_of(enum loader_job job, uint32_t words)
{
	switch (job) {
	case LOADER_LOAD:
	case LOADER_INSTRUCTIONS:
		return privileges_to_load(words);
	case LOADER_ATTACH:
		return privileges_for_bpf() |
		       (has_tracing(words) ? privileges_to_attach() : 0);
	case LOADER_PERF:
		return has_tracing(words) ? PRIVILEGE_PERFMON : 0;
	case LOADER_KEEP:
		return privileges_for_bpf() | PRIVILEGE_NET_ADMIN;
	default:
		return privileges_for_bpf();
	}
}

/* --- Files -------------------------------------------------------------- */

/* Sets of landlock_path: what libbpf reads for an object. */
static size_t add_load_paths(struct landlock_path *paths, uint32_t words)
{
	static char config[sizeof("/boot/config-") + sizeof(struct utsname)];
	struct utsname host;
	size_t n = 0;

	uname(&host);
	snprintf(config, sizeof(config), "/boot/config-%s", host.release);
#define ADD(its_path, its_kind)                                                \
	paths[n++] = (struct landlock_path){ .path = (its_path),               \
					     .kind = (its_kind) }

	ADD("/sys/kernel/btf", LANDLOCK_FOLDER);
	ADD("/sys/devices/system/cpu/possible", LANDLOCK_FILE);
	ADD("/proc/version_signature", LANDLOCK_FILE);
	ADD("/proc/config.gz", LANDLOCK_FILE);
	ADD(config, LANDLOCK_FILE);
	if (has_tracing(words))
		ADD("/proc/kallsyms", LANDLOCK_FILE);
	/* bpf_map__reuse_fd() opens / to have a number for a descriptor */
	if (libbpf_major_version() == 1 && libbpf_minor_version() < 3)
		ADD("/", LANDLOCK_NAMES);
	return n;
}

static size_t add_attach_paths(struct landlock_path *paths, uint32_t words)
{
	size_t n = 0;

	if (!has_tracing(words))
		return 0;
	ADD(TRACEFS "/events", LANDLOCK_FOLDER);
	ADD(TRACEFS_OF_DEBUGFS "/events", LANDLOCK_FOLDER);
	ADD(EVENT_SOURCES "/kprobe", LANDLOCK_FOLDER);
	ADD(EVENT_SOURCES "/uprobe", LANDLOCK_FOLDER);
	ADD("/sys/devices/system/cpu/possible", LANDLOCK_FILE);
	ADD("/sys/devices/system/cpu/online", LANDLOCK_FILE);
#undef ADD
	return n;
}

static int enter_rules(const struct landlock_path *paths, size_t count)
{
	int rules = landlock_prepare(paths, count), error;

	if (rules < 0)
		return rules;
	error = landlock_enter(rules);
	close(rules);
	return error;
}

/* That Landlock is missing, or refused, is the node's to report. */
static int confine_files(struct loader_confine *confine)
{
	const struct landlock_path possible = {
		.path = "/sys/devices/system/cpu/possible",
		.kind = LANDLOCK_FILE,
	};
	struct landlock_path paths[MAX_PATHS];
	size_t load = add_load_paths(paths, confine->words);
	size_t attach = add_attach_paths(paths + load, confine->words);
	int error;

	confine->rules[LOADER_LOAD] = landlock_prepare(paths, load);
	confine->rules[LOADER_INSTRUCTIONS] = confine->rules[LOADER_LOAD];
	confine->rules[LOADER_RUN] = landlock_prepare(NULL, 0);
	confine->rules[LOADER_KEEP] = confine->rules[LOADER_RUN];
	confine->rules[LOADER_ATTACH] = landlock_prepare(paths + load, attach);
	confine->rules[LOADER_PERF] =
		landlock_prepare(&possible, has_tracing(confine->words));
	for (unsigned i = 0; i < LOADER_JOBS; i++) {
		error = confine->rules[i];
		if (error == -ENOSYS || error == -EPERM)
			return 0;
		if (error < 0)
			return error;
	}
	return enter_rules(paths, load + attach);
}

/* --- All of it ---------------------------------------------------------- */

static bool fail(const char *what, int error)
{
	log_error("the loader: %s: %s", what, strerror(-error));
	return false;
}

/* What a child may not change back: limits are its own, see loader_child.c. */
bool loader_confine_self(struct loader_confine *confine,
			 const struct loader_options *options)
{
	const struct rlimit none = { 0, 0 };
	unsigned keep = privileges_to_load(options->words) |
			privileges_of(LOADER_ATTACH, options->words);
	int error;

	*confine = (struct loader_confine){ .words = options->words,
					    .no_sandbox = options->no_sandbox };
	memset(confine->rules, -1, sizeof(confine->rules));
	confine->lock = memfd_create("keepers", MFD_CLOEXEC);
	if (confine->lock < 0)
		return fail("memfd_create", -errno);
	if (privilege_change_user(options->user) != STATUS_OK ||
	    privilege_keep(keep) != STATUS_OK)
		return false;
	/* again, as a change of user undoes them */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ||
	    (!options->no_sandbox && prctl(PR_SET_DUMPABLE, 0) < 0) ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return fail("prctl", -errno);
	if (options->no_sandbox)
		return true;
	if (setrlimit(RLIMIT_CORE, &none) < 0)
		return fail("setrlimit", -errno);
	error = confine_files(confine);
	if (error < 0)
		return fail("Landlock", error);
	error = syscalls_confine(SYSCALLS_OF_LOADER);
	return error == 0 || fail("seccomp", error);
}

int loader_confine_child(const struct loader_confine *confine,
			 enum loader_job job)
{
	static const enum syscalls_of filters[] = {
		[LOADER_LOAD] = SYSCALLS_OF_LOAD,
		[LOADER_INSTRUCTIONS] = SYSCALLS_OF_LOAD,
		[LOADER_RUN] = SYSCALLS_OF_RUN,
		[LOADER_ATTACH] = SYSCALLS_OF_ATTACH,
		[LOADER_KEEP] = SYSCALLS_OF_KEEP,
		[LOADER_PERF] = SYSCALLS_OF_PERF,
	};

	int rules = confine->rules[job];
	int error = privilege_narrow(privileges_of(job, confine->words));

	if (error < 0 || confine->no_sandbox)
		return error;
	if (rules >= 0) {
		error = landlock_enter(rules);
		close(rules);
	}
	return error < 0 ? error : syscalls_confine(filters[job]);
}

/* --- Descriptors -------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	const int *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* From first to last; libc of some systems has no close_range(2). */
static void close_from(unsigned first, unsigned last)
{
	long most = sysconf(_SC_OPEN_MAX);

	if (first > last || syscall(SYS_close_range, first, last, 0) == 0)
		return;
	for (long fd = first; fd <= (long)last && fd < most; fd++)
		close((int)fd);
}

void loader_confine_fds(int *keep, unsigned count)
{
	unsigned first = STDERR_FILENO + 1;

	qsort(keep, count, sizeof(*keep), compare);
	for (unsigned i = 0; i < count; i++) {
		if (keep[i] < (int)first)
			continue;
		close_from(first, (unsigned)keep[i] - 1);
		first = (unsigned)keep[i] + 1;
	}
	close_from(first, ~0u);
}
