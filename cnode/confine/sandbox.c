/* SPDX-License-Identifier: Apache-2.0 */
/* The sandbox: drops everything that serving does not need, in this order. */
#include "confine/sandbox.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "bpf/map.h"
#include "confine/landlock.h"
#include "confine/privilege.h"
#include "confine/syscalls.h"

static int set_limit(__rlimit_resource_t resource, rlim_t soft, rlim_t hard)
{
	struct rlimit limit = { .rlim_cur = soft, .rlim_max = hard };

	return setrlimit(resource, &limit) < 0 ? -errno : 0;
}

/*
 * No memory is locked, so the limit goes to 0. Kernels before 5.11 charge maps
 * against it: there it stays where libbpf has raised it.
 */
static int limit_locked_memory(void)
{
	struct rlimit before;
	int error;

	if (getrlimit(RLIMIT_MEMLOCK, &before) < 0)
		return -errno;
	error = set_limit(RLIMIT_MEMLOCK, 0, before.rlim_max);
	if (error < 0)
		return error;
	return map_check_privilege() == -EPERM
		       ? set_limit(RLIMIT_MEMLOCK, before.rlim_cur,
				   before.rlim_max)
		       : set_limit(RLIMIT_MEMLOCK, 0, 0);
}

/*
 * RLIMIT_DATA counts private writable memory: heap, buffers, thread stacks.
 * Once it is used up, malloc(3) fails.
 */
static int limit_memory(uint64_t bytes)
{
	struct rlimit before;

	if (bytes == 0)
		return 0;
	if (getrlimit(RLIMIT_DATA, &before) < 0)
		return -errno;
	if (bytes > before.rlim_max)
		bytes = before.rlim_max;
	log_info("memory is limited to %llu bytes", (unsigned long long)bytes);
	return set_limit(RLIMIT_DATA, bytes, bytes);
}

/*
 * Libraries cache what they read or probe once; they do it here, before the
 * sandbox forbids it. map_check_privilege() makes a map with a name, for which
 * libbpf probes the kernel by loading programs.
 */
static enum exit_status prepare_libraries(void)
{
	int error = map_check_privilege();

	if (error < 0) {
		log_error("this process may not make eBPF maps with its "
			  "remaining capabilities: %s; it needs cap_bpf",
			  strerror(-error));
		return STATUS_PRIVILEGE;
	}
	error = libbpf_num_possible_cpus();
	if (error < 0) {
		log_error("cannot read the number of processors: %s",
			  strerror(-error));
		return STATUS_OTHER;
	}
	tzset();
	return STATUS_OK;
}

static int confine_files_and_ports(const struct sandbox *sandbox)
{
	const struct landlock_limits limits = {
		.pin_root = sandbox->pin_root,
		.netns_root = sandbox->netns_root,
		.keep = sandbox->keep,
		.cgroups = sandbox->cgroups,
		.folders = sandbox->folders,
		.folder_count = sandbox->folder_count,
		.counting = sandbox->programs,
		.epmd_port = sandbox->epmd_port,
		/* the system calls for them are not let through anyway */
		.signals = sandbox->programs,
	};
	int version = landlock_confine(&limits);

	if (version == -ENOSYS)
		log_warning("this kernel has no Landlock: files and ports are "
			    "not confined");
	else if (version == -EPERM)
		log_warning(
			"Landlock is refused here, as by the seccomp filter "
			"of a container: files and ports are not confined");
	else if (version > 0 && version < LANDLOCK_WITH_NET)
		log_warning("Landlock of this kernel has version %d: ports are "
			    "not confined",
			    version);
	else if (version > 0)
		log_info("files and ports are confined by Landlock version %d",
			 version);
	return version > 0 || version == -ENOSYS || version == -EPERM ? 0
								      : version;
}

static enum exit_status fail(const char *what, int error)
{
	log_error("%s: %s; --no-sandbox does without it", what,
		  strerror(-error));
	return STATUS_OTHER;
}

/* landlock_confine() finds the bpf file systems there. */
static enum exit_status check_proc(void)
{
	if (access("/proc/self/mountinfo", F_OK) == 0)
		return STATUS_OK;
	log_error("/proc/self/mountinfo: %s; the sandbox needs a proc file "
		  "system: mount one by `mount -t proc proc /proc', or use "
		  "--no-sandbox",
		  strerror(errno));
	return STATUS_OTHER;
}

static enum syscalls_of filter_of(const struct sandbox *sandbox)
{
	/* [no epmd][programs][by id] */
	static const enum syscalls_of filters[2][2][2] = {
		{ { SYSCALLS_OF_NODE_WITHOUT_IDS, SYSCALLS_OF_NODE },
		  { SYSCALLS_OF_PROGRAMS_WITHOUT_IDS, SYSCALLS_OF_PROGRAMS } },
		{ { SYSCALLS_OF_NODE_NO_EPMD_WITHOUT_IDS,
		    SYSCALLS_OF_NODE_NO_EPMD },
		  { SYSCALLS_OF_PROGRAMS_NO_EPMD_WITHOUT_IDS,
		    SYSCALLS_OF_PROGRAMS_NO_EPMD } },
	};

	return filters[sandbox->epmd_port == 0][sandbox->programs]
		      [sandbox->open_by_id];
}

enum exit_status sandbox_enter(const struct sandbox *sandbox)
{
	enum exit_status status =
		privilege_keep(PRIVILEGE_BPF | PRIVILEGE_NET_ADMIN |
			       (sandbox->open_by_id ? PRIVILEGE_SYS_ADMIN : 0));
	int error;

	if (status == STATUS_OK)
		status = prepare_libraries();
	if (status != STATUS_OK || sandbox->off)
		return status;
	status = check_proc();
	if (status != STATUS_OK)
		return status;
	/* a change of user makes a process dumpable again */
	if (prctl(PR_SET_DUMPABLE, 0) < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return fail("prctl", -errno);
	error = set_limit(RLIMIT_CORE, 0, 0);
	if (error == 0)
		error = limit_locked_memory();
	if (error == 0)
		error = limit_memory(sandbox->memory);
	if (error < 0)
		return fail("setrlimit", error);
	error = confine_files_and_ports(sandbox);
	if (error < 0)
		return fail("Landlock", error);
	error = syscalls_confine(filter_of(sandbox));
	if (error < 0)
		return fail("seccomp", error);
	log_info("system calls are confined by seccomp");
	return STATUS_OK;
}
