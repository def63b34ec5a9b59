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

int syscalls_confine(bool open_by_id)
{
	static const struct sock_fprog programs[] = { PROGRAM(without_ids),
						      PROGRAM(with_ids) };
	long result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
			      SECCOMP_FILTER_FLAG_TSYNC, &programs[open_by_id]);

	/* some containers allow only prctl(2), which is as good for one thread
	 */
	if (result < 0 && (errno == EPERM || errno == ENOSYS))
		result = prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER,
			       &programs[open_by_id]);
	if (result < 0)
		return -errno;
	return result > 0 ? -ESRCH : 0; /* the id of a thread it failed for */
}
