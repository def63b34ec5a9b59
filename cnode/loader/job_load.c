/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads an object: opens it, sets what the request asks for, checks what there
 * would be, loads it, and tells what there is.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <string.h>

#include "loader/job_errors.h"
#include "loader/job_log.h"
#include "loader/job_object.h"
#include "loader/jobs.h"

#define LOGS_SIZE (LOADER_MAX_ANSWER / 2) /* of all programs, in an answer */

/* --- What went wrong ---------------------------------------------------- */

static const struct bpf_program *find_refused(const struct job_object *object)
{
	const char *name = job_errors_refused();
	struct bpf_program *program;

	if (!name)
		return NULL;
	bpf_object__for_each_program(
		program, object->object) if (strcmp(bpf_program__name(program),
						    name) == 0) return program;
	return NULL;
}

static void tell_error(const struct job_object *object, int error)
{
	const struct bpf_program *program = find_refused(object);
	const char *log = object->log;
	size_t size = JOB_LOG_SIZE;

	if (!program) {
		job_errors_libbpf(object->answer, error);
		return;
	}
	if (object->options.log_level > 0)
		log = bpf_program__log_buf(program, &size);
	job_errors_rejected(object->answer, error, bpf_program__name(program),
			    log, job_log_length(log, size));
}

/* --- What there is ------------------------------------------------------ */

static void tell_programs(const struct job_object *object)
{
	struct bpf_program *program;

	bpf_object__for_each_program(program, object->object)
	{
		const char *section = bpf_program__section_name(program);
		struct record record = {
			.kind = LOADER_R_PROGRAM,
			.name = bpf_program__name(program),
			.number = (uint64_t)bpf_program__expected_attach_type(
				program),
			.data = section,
			.size = strlen(section),
		};
		int fd = bpf_program__fd(program);

		if (record.size >= LOADER_NAME_SIZE)
			record.size = 0; /* it names no target */
		if (bpf_program__autoload(program) && fd >= 0)
			job_answer_add(object->answer, &record, fd);
	}
}

static void tell_logs(const struct job_object *object)
{
	unsigned count = 0;
	struct bpf_program *program;
	size_t size, most;
	const char *log;

	bpf_object__for_each_program(program, object->object) count +=
		bpf_program__autoload(program);
	most = count > 0 ? LOGS_SIZE / count : 0;
	if (most > LOADER_LOG_SIZE)
		most = LOADER_LOG_SIZE;
	bpf_object__for_each_program(program, object->object)
	{
		struct record record = { .kind = LOADER_R_LOG,
					 .name = bpf_program__name(program) };

		log = bpf_program__log_buf(program, &size);
		if (!log || !bpf_program__autoload(program))
			continue;
		job_log_end(log, job_log_length(log, size), most, &record);
		job_answer_add(object->answer, &record, -1);
	}
}

/* Those of the request the node has anyway. */
static void tell_maps(const struct job_object *object)
{
	for (size_t i = 0; i < object->map_count; i++) {
		const struct job_map *map = &object->maps[i];
		const struct record record = { .kind = LOADER_R_MAP,
					       .number = map->asks_pin,
					       .name = map->name };
		int fd = bpf_map__fd(map->map);

		if (!map->reused && fd >= 0)
			job_answer_add(object->answer, &record, fd);
	}
}

static void tell_types(const struct job_object *object)
{
	const struct record record = { .kind = LOADER_R_BTF };
	int fd = bpf_object__btf_fd(object->object);

	if (fd >= 0)
		job_answer_add(object->answer, &record, fd);
}

void job_load(const struct job *job, struct job_answer *answer)
{
	struct job_object object = { .job = job, .answer = answer };
	int error;

	job_errors_listen();
	if (!job_options_read(job, &object.options, answer) ||
	    !job_object_open(&object) || !job_object_set(&object))
		return;
	error = bpf_object__load(object.object);
	if (error < 0) {
		tell_error(&object, -error);
		return;
	}
	tell_programs(&object);
	tell_maps(&object);
	job_variables_tell(&object);
	tell_types(&object);
	if (object.options.log_level > 0)
		tell_logs(&object);
}
