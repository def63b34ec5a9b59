/* SPDX-License-Identifier: Apache-2.0 */
/* What all jobs share. */
#include "loader/jobs.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bpf/program_words.h"
#include "confine/privilege.h"

void job_answer_add(struct job_answer *answer, const struct record *record,
		    int fd)
{
	struct record with_fd = *record;

	with_fd.fd = RECORD_NO_FD;
	if (fd >= 0 && answer->fd_count == LOADER_MAX_ANSWER_FDS) {
		answer->records.failed = true;
		return;
	}
	if (fd >= 0) {
		with_fd.fd = answer->fd_count;
		answer->fds[answer->fd_count++] = fd;
	}
	records_add(&answer->records, &with_fd);
}

/* The descriptors end with this process. */
void job_answer_drop(struct job_answer *answer)
{
	records_free(&answer->records);
	answer->records.max = LOADER_MAX_ANSWER;
	answer->fd_count = 0;
}

int job_open_event(struct perf_event_attr *attributes, int cpu)
{
	long fd;

	attributes->size = sizeof(*attributes);
	fd = syscall(SYS_perf_event_open, attributes, -1, cpu, -1,
		     PERF_FLAG_FD_CLOEXEC);
	return fd < 0 ? -errno : (int)fd;
}

int job_narrow(uint32_t needs)
{
	unsigned keep = PRIVILEGE_BPF;

	if (needs & (1u << PROGRAM_NEEDS_NET_ADMIN))
		keep |= PRIVILEGE_NET_ADMIN;
	if (needs & (1u << PROGRAM_NEEDS_PERFMON))
		keep |= PRIVILEGE_PERFMON;
	return privilege_narrow(keep);
}
