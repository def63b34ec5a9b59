/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attaches by events of perf_event_open(2): what has to read files of tracefs,
 * or takes CAP_PERFMON. Each event gets a kernel link, which keeps it.
 */
#include "loader/jobs.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "loader/job_errors.h"
#include "loader/job_options.h"

#define EVENTS "/sys/kernel/tracing/events"
#define EVENTS_OF_DEBUGFS "/sys/kernel/debug/tracing/events"
#define KPROBES "/sys/bus/event_source/devices/kprobe"

struct attachment {
	int program;
	const struct attach_target *target;
	struct job_answer *answer;
};

/* --- Files -------------------------------------------------------------- */

/* The first line, without its end. */
static int read_line(const char *path, char *line, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, line, size - 1);
	n = n < 0 ? -errno : n;
	close(fd);
	if (n < 0)
		return (int)n;
	line[n] = '\0';
	line[strcspn(line, "\n")] = '\0';
	return 0;
}

/* A number behind a prefix. */
static int read_number(const char *path, const char *prefix, uint64_t *number)
{
	char line[64], *digits, *end;
	int error = read_line(path, line, sizeof(line));

	if (error < 0)
		return error;
	if (strncmp(line, prefix, strlen(prefix)) != 0)
		return -EPROTO;
	digits = line + strlen(prefix);
	*number = strtoull(digits, &end, 10);
	return end > digits && *end == '\0' ? 0 : -EPROTO;
}

/* A name within a folder, and not its way out. */
static bool is_plain(const char *name)
{
	return *name && *name != '.' && !strchr(name, '/');
}

static int read_tracepoint(const struct attach_target *target, uint64_t *id)
{
	static const char *const folders[] = { EVENTS, EVENTS_OF_DEBUGFS };
	char path[sizeof(EVENTS_OF_DEBUGFS) + (size_t)2 * ATTACH_NAME_SIZE + 8];
	int error = -ENOENT;

	for (size_t i = 0; error == -ENOENT && i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s/%s/id", folders[i],
			 target->category, target->name);
		error = read_number(path, "", id);
	}
	return error;
}

/* --- Events ------------------------------------------------------------- */

/* The link keeps the event. */
static int attach_event(const struct attachment *attachment,
			struct perf_event_attr *attributes, int cpu)
{
	const struct record record = { .kind = LOADER_R_LINK };
	int event = job_open_event(attributes, cpu), link;

	if (event < 0)
		return event;
	link = bpf_link_create(attachment->program, event, BPF_PERF_EVENT,
			       NULL);
	close(event);
	if (link < 0)
		return link;
	job_answer_add(attachment->answer, &record, link);
	return 0;
}

static int attach_tracepoint(const struct attachment *attachment)
{
	struct perf_event_attr attributes = { .type = PERF_TYPE_TRACEPOINT };
	uint64_t id = 0;
	int error;

	if (!is_plain(attachment->target->category) ||
	    !is_plain(attachment->target->name))
		return -EINVAL;
	error = read_tracepoint(attachment->target, &id);
	attributes.config = id;
	/* that of any processor sees all of them */
	return error < 0 ? error : attach_event(attachment, &attributes, 0);
}

static int attach_kprobe(const struct attachment *attachment)
{
	const struct attach_target *target = attachment->target;
	struct perf_event_attr attributes = {
		.kprobe_func = (uint64_t)(uintptr_t)target->name,
		.probe_offset = target->offset,
	};
	uint64_t type, bit = 0;
	int error;

	if (!*target->name)
		return -EINVAL;
	error = read_number(KPROBES "/type", "", &type);
	if (error == 0 && target->kind == ATTACH_KRETPROBE)
		error = read_number(KPROBES "/format/retprobe",
				    "config:", &bit);
	if (error < 0)
		return error;
	attributes.type = (uint32_t)type;
	if (target->kind == ATTACH_KRETPROBE)
		attributes.config = 1ull << (bit & 63);
	return attach_event(attachment, &attributes, 0);
}

/* On each processor that is there. */
static int attach_perf(const struct attachment *attachment)
{
	struct perf_event_attr attributes = {
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.sample_freq = attachment->target->hz,
		.freq = 1,
	};
	int cpus = libbpf_num_possible_cpus(), error = 0;

	if (cpus < 0)
		return cpus;
	if (attachment->target->hz == 0)
		return -EINVAL;
	for (int cpu = 0; error == 0 && cpu < cpus; cpu++) {
		error = attach_event(attachment, &attributes, cpu);
		if (error == -ENODEV)
			error = 0;
	}
	return error < 0 || attachment->answer->fd_count > 0 ? error : -ENODEV;
}

static int (*const attachers[ATTACH_KINDS])(const struct attachment *) = {
	[ATTACH_TRACEPOINT] = attach_tracepoint,
	[ATTACH_KPROBE] = attach_kprobe,
	[ATTACH_KRETPROBE] = attach_kprobe,
	[ATTACH_PERF] = attach_perf,
};

static int attach(const struct job *job, const struct job_options *options,
		  struct job_answer *answer)
{
	const struct attachment attachment = {
		.program = job->fd_count == 1 ? job->fds[0] : -1,
		.target = &options->target,
		.answer = answer,
	};

	if (!options->has_target || !attachers[options->target.kind])
		return -EINVAL;
	return attachers[options->target.kind](&attachment);
}

void job_attach(const struct job *job, struct job_answer *answer)
{
	struct job_options options;
	int error;

	job_errors_listen();
	if (!job_options_read(job, &options, answer))
		return;
	error = attach(job, &options, answer);
	if (error == 0)
		return;
	job_answer_drop(answer);
	job_errors_posix(answer, -error);
}
