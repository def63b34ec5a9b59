/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens perf events that programs can write to, as bpf_perf_event_output()
 * does: one on each processor. The node maps their buffers and puts them into a
 * perf event array, for which it needs no capability.
 */
#include "loader/jobs.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/perf_event.h>

#include "loader/job_errors.h"
#include "loader/job_options.h"

static int open_all(uint32_t watermark, struct job_answer *answer)
{
	struct record record = { .kind = LOADER_R_EVENT };
	struct perf_event_attr attributes = {
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_BPF_OUTPUT,
		.sample_type = PERF_SAMPLE_RAW,
		.sample_period = 1,
		.watermark = 1,
		.wakeup_watermark = watermark,
	};
	int cpus = libbpf_num_possible_cpus(), fd;

	if (cpus < 0)
		return cpus;
	for (int cpu = 0; cpu < cpus; cpu++) {
		fd = job_open_event(&attributes, cpu);
		if (fd == -ENODEV) /* it is not online */
			continue;
		if (fd < 0)
			return fd;
		record.number = (uint64_t)cpu;
		job_answer_add(answer, &record, fd);
	}
	return answer->fd_count > 0 ? 0 : -ENODEV;
}

void job_perf(const struct job *job, struct job_answer *answer)
{
	struct job_options options;
	int error;

	job_errors_listen();
	if (!job_options_read(job, &options, answer))
		return;
	error = open_all(options.watermark, answer);
	if (error == 0)
		return;
	job_answer_drop(answer);
	job_errors_posix(answer, -error);
}
