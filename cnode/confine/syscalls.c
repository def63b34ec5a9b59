/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads a seccomp filter that syscalls_filter.c has made during the build, so
 * that only one system call is left that can fail.
 */
#include "confine/syscalls.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "confine/syscalls_program.h"

#define PROGRAM(steps)                                                         \
	{                                                                      \
		sizeof(steps) / sizeof((steps)[0]), steps                      \
	}

static const struct sock_fprog programs[] = {
	[SYSCALLS_OF_NODE] = PROGRAM(with_ids),
	[SYSCALLS_OF_NODE_WITHOUT_IDS] = PROGRAM(without_ids),
	[SYSCALLS_OF_PROGRAMS] = PROGRAM(programs_with_ids),
	[SYSCALLS_OF_PROGRAMS_WITHOUT_IDS] = PROGRAM(programs_without_ids),
	[SYSCALLS_OF_NODE_NO_EPMD] = PROGRAM(no_epmd_with_ids),
	[SYSCALLS_OF_NODE_NO_EPMD_WITHOUT_IDS] = PROGRAM(no_epmd_without_ids),
	[SYSCALLS_OF_PROGRAMS_NO_EPMD] = PROGRAM(no_epmd_programs_with_ids),
	[SYSCALLS_OF_PROGRAMS_NO_EPMD_WITHOUT_IDS] =
		PROGRAM(no_epmd_programs_without_ids),
	[SYSCALLS_OF_LOADER] = PROGRAM(loader),
	[SYSCALLS_OF_LOAD] = PROGRAM(load),
	[SYSCALLS_OF_RUN] = PROGRAM(run),
	[SYSCALLS_OF_ATTACH] = PROGRAM(attach),
	[SYSCALLS_OF_KEEP] = PROGRAM(keep),
	[SYSCALLS_OF_PERF] = PROGRAM(perf),
};

int syscalls_confine(enum syscalls_of of)
{
	long result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
			      SECCOMP_FILTER_FLAG_TSYNC, &programs[of]);

	/* some containers allow only prctl(2), which is as good for one thread
	 */
	if (result < 0 && (errno == EPERM || errno == ENOSYS))
		result = prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER,
			       &programs[of]);
	if (result < 0)
		return -errno;
	return result > 0 ? -ESRCH : 0; /* the id of a thread it failed for */
}
