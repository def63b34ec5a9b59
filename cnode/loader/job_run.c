/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a program on input of the caller. In a process that holds nothing but
 * that: a program may close its runner's descriptors, or kill it.
 */
#include "loader/jobs.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "loader/job_errors.h"
#include "loader/job_options.h"

/* More than a program makes of its input: another run would count twice. */
#define OUTPUT_SIZE (64u << 10)
#define MAX_OUTPUT (512u << 10)

/* The kernel takes neither data nor output of these. */
static bool has_output(uint32_t type)
{
	return type != BPF_PROG_TYPE_RAW_TRACEPOINT &&
	       type != BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE;
}

static int read_type(const struct job *job, uint32_t *type)
{
	struct bpf_prog_info info = { 0 };
	uint32_t size = sizeof(info);
	int error = -EPROTO;

	if (job->fd_count == 1)
		error = bpf_obj_get_info_by_fd(job->fds[0], &info, &size);
	*type = info.type;
	return error;
}

/* Room for output of size bytes, in place of what there was. */
static int make_room(void **output, uint32_t size)
{
	free(*output);
	*output = size <= MAX_OUTPUT ? calloc(1, size) : NULL;
	return *output ? 0 : -ENOMEM;
}

/* Input that is longer than any output is the kernel's to refuse. */
static uint32_t room_for(size_t input)
{
	if (input > MAX_OUTPUT)
		return MAX_OUTPUT;
	return input > OUTPUT_SIZE ? (uint32_t)input : OUTPUT_SIZE;
}

static void set_input(const struct job_options *options,
		      struct bpf_test_run_opts *run)
{
	run->data_in = options->data;
	run->data_size_in = (uint32_t)options->data_size;
	run->ctx_in = options->context;
	run->ctx_size_in = (uint32_t)options->context_size;
	run->repeat = (int)options->repeat;
	run->cpu = options->cpu;
	run->flags = options->has_cpu ? BPF_F_TEST_RUN_ON_CPU : 0;
}

static int set_output(const struct job_options *options,
		      struct bpf_test_run_opts *run)
{
	int error = 0;

	if (options->data) {
		run->data_size_out = room_for(options->data_size);
		error = make_room(&run->data_out, run->data_size_out);
	}
	if (error == 0 && options->context) {
		run->ctx_size_out = room_for(options->context_size);
		error = make_room(&run->ctx_out, run->ctx_size_out);
	}
	return error;
}

/* Once more where the output was longer: the kernel tells by how much. */
static int run_program(int fd, const struct job_options *options,
		       struct bpf_test_run_opts *run, bool output)
{
	uint32_t room;
	int error;

	set_input(options, run);
	error = output ? set_output(options, run) : 0;
	if (error < 0)
		return error;
	room = run->data_size_out;
	error = bpf_prog_test_run_opts(fd, run);
	if (error != -ENOSPC || run->data_size_out <= room)
		return error;
	error = make_room(&run->data_out, run->data_size_out);
	return error < 0 ? error : bpf_prog_test_run_opts(fd, run);
}

static void add_number(struct job_answer *answer, enum loader_result kind,
		       uint64_t number)
{
	const struct record record = { .kind = kind, .number = number };

	job_answer_add(answer, &record, -1);
}

static void add_output(struct job_answer *answer, enum loader_result kind,
		       const void *bytes, uint32_t size)
{
	const struct record record = { .kind = kind,
				       .data = bytes,
				       .size = size };

	if (bytes)
		job_answer_add(answer, &record, -1);
}

static void add_results(const struct bpf_test_run_opts *run,
			struct job_answer *answer)
{
	add_number(answer, LOADER_R_RETURN, run->retval);
	add_number(answer, LOADER_R_NANOSECONDS, run->duration);
	add_output(answer, LOADER_R_DATA, run->data_out, run->data_size_out);
	add_output(answer, LOADER_R_CONTEXT, run->ctx_out, run->ctx_size_out);
}

void job_run(const struct job *job, struct job_answer *answer)
{
	LIBBPF_OPTS(bpf_test_run_opts, run);
	struct job_options options;
	uint32_t type;
	int error;

	if (!job_options_read(job, &options, answer))
		return;
	error = read_type(job, &type);
	if (error == 0)
		error = run_program(job->fds[0], &options, &run,
				    has_output(type));
	if (error < 0)
		job_errors_posix(answer, -error);
	else
		add_results(&run, answer);
	free(run.data_out);
	free(run.ctx_out);
}
