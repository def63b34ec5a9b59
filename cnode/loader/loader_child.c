/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A child of the loader: gives up all but its job, does that, sends the answer,
 * and ends. It has never seen another request.
 */
#include "loader/loader_child.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/heap.h"
#include "loader/jobs.h"

#define MAX_FDS 4096 /* with those of libbpf */

/* Lower than before, never higher. */
static int limit(__rlimit_resource_t resource, rlim_t soft, rlim_t hard)
{
	struct rlimit now;

	if (getrlimit(resource, &now) < 0)
		return -errno;
	if (now.rlim_max > hard)
		now.rlim_max = hard;
	now.rlim_cur = soft < now.rlim_max ? soft : now.rlim_max;
	return setrlimit(resource, &now) < 0 ? -errno : 0;
}

static bool keeps(const struct loader_task *task)
{
	return task->message->job == LOADER_KEEP;
}

static int limit_all(const struct loader_task *task)
{
	unsigned seconds = loader_seconds(task->options, task->message->job);
	/* SIGXCPU at the soft one, SIGKILL at the other */
	int error = limit(RLIMIT_CPU, seconds, seconds + 1);

	if (error == 0)
		error = limit(RLIMIT_CORE, 0, 0);
	if (error == 0)
		error = limit(RLIMIT_FSIZE, 0, 0);
	if (error == 0)
		error = limit(RLIMIT_NOFILE, MAX_FDS, MAX_FDS);
#ifndef HEAP_OF_SANITIZER /* which maps 20 TB */
	if (error == 0)
		error = limit(RLIMIT_AS, task->options->memory,
			      task->options->memory);
#endif
	return error;
}

static void close_others(const struct loader_task *task)
{
	int keep[LOADER_MESSAGE_FDS + 3];
	unsigned n = task->parcel->fd_count;

	memcpy(keep, task->parcel->fds, n * sizeof(*keep));
	keep[n++] = task->socket;
	keep[n++] = task->confine->rules[task->message->job];
	if (keeps(task))
		keep[n++] = task->confine->lock;
	loader_confine_fds(keep, n);
}

/* It ends with the loader, however that ends. */
static int follow_loader(pid_t loader)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return -errno;
	return getppid() == loader ? 0 : -ESRCH;
}

/*
 * A keeper ends by its own will: it may be sent what is sent to all processes
 * of a terminal or a service.
 */
static int follow_nobody(void)
{
	sigset_t all;

	sigfillset(&all);
	return sigprocmask(SIG_BLOCK, &all, NULL) < 0 ||
			       prctl(PR_SET_NAME, "ebpf_keeper") < 0
		       ? -errno
		       : 0;
}

static int read_job(const struct loader_task *task, struct job *job)
{
	const struct loader_message *message = task->message;
	size_t size = (size_t)message->records_size + message->object_size;
	int memfd = task->parcel->fds[0];
	struct stat status;
	const char *bytes = "";

	if (fstat(memfd, &status) < 0)
		return -errno;
	if ((size_t)status.st_size != size)
		return -EPROTO;
	if (size > 0)
		bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, memfd, 0);
	if (bytes == MAP_FAILED)
		return -errno;
	close(memfd);
	*job = (struct job){
		.words = task->options->words,
		.records = bytes,
		.records_size = message->records_size,
		.object = bytes + message->records_size,
		.object_size = message->object_size,
		.fds = task->parcel->fds + 1,
		.fd_count = task->parcel->fd_count - 1,
		.lock = task->confine->lock,
	};
	return 0;
}

static int confine(const struct loader_task *task, struct job *job)
{
	int error = keeps(task) ? follow_nobody() : follow_loader(task->loader);

	if (error < 0)
		return error;
	close_others(task);
	error = limit_all(task);
	if (error == 0)
		error = read_job(task, job);
	if (error == 0)
		error = loader_confine_child(task->confine, task->message->job);
	return error;
}

static void replace_by_errno(struct job_answer *answer, int error)
{
	const struct record record = { .kind = LOADER_R_ERRNO,
				       .number = (uint64_t)error };

	job_answer_drop(answer);
	job_answer_add(answer, &record, -1);
}

/* In parts, as a message bears but so many bytes and descriptors. */
static int send_answer(const struct loader_task *task,
		       const struct job_answer *answer)
{
	const char *bytes = answer->records.bytes;
	const int *fds = answer->fds;
	size_t left = answer->records.size;
	unsigned fds_left = answer->fd_count;
	struct loader_message message = {
		.serial = task->message->serial,
		.type = LOADER_PART,
	};
	int error = 0;

	while (error == 0 && (left > 0 || fds_left > 0)) {
		message.size = left < LOADER_PART_SIZE ? (uint32_t)left
						       : LOADER_PART_SIZE;
		message.fd_count =
			fds_left < LOADER_MAX_FDS ? fds_left : LOADER_MAX_FDS;
		error = loader_message_send(task->socket, &message, bytes, fds,
					    true);
		bytes += message.size;
		left -= message.size;
		fds += message.fd_count;
		fds_left -= message.fd_count;
	}
	return error;
}

_Noreturn void loader_child_run(const struct loader_task *task)
{
	static void (*const jobs[])(const struct job *, struct job_answer *) = {
		[LOADER_LOAD] = job_load,
		[LOADER_INSTRUCTIONS] = job_instructions,
		[LOADER_RUN] = job_run,
		[LOADER_ATTACH] = job_attach,
		[LOADER_KEEP] = job_keep,
		[LOADER_PERF] = job_perf,
	};
	static struct job_answer answer = { .records.max = LOADER_MAX_ANSWER };
	struct job job;
	int error;

	if (confine(task, &job) < 0)
		_exit(1);
	jobs[task->message->job](&job, &answer);
	if (answer.records.failed)
		replace_by_errno(&answer,
				 answer.records.no_memory ? ENOMEM : E2BIG);
	error = send_answer(task, &answer);
	if (keeps(task) && job_keep_on(task->socket) < 0)
		_exit(1);
	_exit(error < 0);
}
