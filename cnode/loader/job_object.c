/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens an object, and sets what the request asks for: which programs, of which
 * types. libbpf never pins: a pin is made by the node or not at all.
 */
#include "loader/job_object.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>

#include "loader/job_errors.h"
#include "loader/job_log.h"

#define LOGS_SIZE (128u << 20) /* of all programs */

/* --- Open --------------------------------------------------------------- */

bool job_object_open(struct job_object *object)
{
	LIBBPF_OPTS(bpf_object_open_opts, options);
	const struct job *job = object->job;

	if (job->object_size == 0) /* of which libbpf says nothing */
		return job_errors_object(object->answer, "it is empty");
	object->log = job_log_new(JOB_LOG_SIZE);
	if (!object->log)
		return job_errors_posix(object->answer, ENOMEM);
	/* without a name it would tell the address of the buffer */
	options.object_name = object->options.name;
	options.kernel_log_buf = object->log;
	options.kernel_log_size = JOB_LOG_SIZE;
	options.kernel_log_level = object->options.log_level;
	object->object =
		bpf_object__open_mem(job->object, job->object_size, &options);
	if (!object->object)
		return job_errors_libbpf(object->answer, errno);
	return job_maps_read(object);
}

/* --- Programs ----------------------------------------------------------- */

static struct bpf_program *find_program(struct job_object *object,
					const struct record *record)
{
	struct bpf_program *program;
	const char *name = record->name ? record->name : "";

	bpf_object__for_each_program(
		program, object->object) if (strcmp(bpf_program__name(program),
						    name) == 0) return program;
	job_errors_badarg(object->answer, "the object has no program %s", name);
	return NULL;
}

static bool load_program(struct job_object *object, const struct record *record)
{
	struct bpf_program *program = find_program(object, record);

	return program && bpf_program__set_autoload(program, true) == 0;
}

static bool set_type(struct job_object *object, const struct record *record)
{
	struct bpf_program *program = find_program(object, record);

	return program &&
	       bpf_program__set_type(program,
				     (enum bpf_prog_type)record->number) == 0;
}

static bool set_attach_type(struct job_object *object,
			    const struct record *record)
{
	struct bpf_program *program = find_program(object, record);

	return program &&
	       bpf_program__set_expected_attach_type(
		       program, (enum bpf_attach_type)record->number) == 0;
}

static bool set_attach_to(struct job_object *object,
			  const struct record *record)
{
	struct bpf_program *program = find_program(object, record);
	char name[ATTACH_NAME_SIZE] = "";
	int error;

	if (!program)
		return false;
	if (record->size == 0 || record->size >= sizeof(name))
		return job_errors_badarg(object->answer,
					 "attach_to of %s is out of range",
					 record->name);
	memcpy(name, record->data, record->size);
	error = bpf_program__set_attach_target(program, 0, name);
	if (error == -ESRCH)
		return job_errors_object(
			object->answer,
			"attach_to of %s: the kernel tells of no %s for "
			"programs of this kind",
			record->name, name);
	return error == 0 || job_errors_libbpf(object->answer, -error);
}

/* Those that the request names, if it names any. */
static void choose_programs(struct job_object *object)
{
	struct bpf_program *program;
	struct record record;
	bool chosen = false;
	size_t at = 0;

	while (records_next(object->job->records, object->job->records_size,
			    &at, &record))
		chosen = chosen || record.kind == LOADER_O_PROGRAM ||
			 record.kind == LOADER_O_NO_PROGRAMS;
	if (!chosen)
		return;
	bpf_object__for_each_program(program, object->object)
		bpf_program__set_autoload(program, false);
}

/* To be told of success, each needs a log of its own. */
static bool add_logs(struct job_object *object)
{
	struct bpf_program *program;
	size_t count = 0, size;
	char *log;

	bpf_object__for_each_program(program, object->object) count +=
		bpf_program__autoload(program);
	if (object->options.log_level == 0 || count == 0)
		return true;
	size = LOGS_SIZE / count < JOB_LOG_SIZE ? LOGS_SIZE / count
						: JOB_LOG_SIZE;
	bpf_object__for_each_program(program, object->object)
	{
		if (!bpf_program__autoload(program))
			continue;
		log = job_log_new(size);
		if (!log || bpf_program__set_log_buf(program, log, size) < 0)
			return job_errors_posix(object->answer, ENOMEM);
	}
	return true;
}

/* --- Options ------------------------------------------------------------ */

/* In this order, whatever theirs is; the limits come before the variables. */
static const struct step {
	enum loader_option kind;
	bool (*set)(struct job_object *object, const struct record *record);
} steps[] = {
	{ LOADER_O_PROGRAM, load_program },
	{ LOADER_O_PROGRAM_TYPE, set_type },
	{ LOADER_O_ATTACH_TYPE, set_attach_type },
	{ LOADER_O_ATTACH_TO, set_attach_to },
	{ LOADER_O_MAX_ENTRIES, job_maps_set_max_entries },
	{ LOADER_O_VALUE_SIZE, job_maps_set_value_size },
	{ LOADER_O_MAP, job_maps_reuse },
}, variables[] = {
	{ LOADER_O_INTEGER, job_variables_set_integer },
	{ LOADER_O_LARGE, job_variables_set_integer },
	{ LOADER_O_BYTES, job_variables_set_bytes },
};

static bool take(struct job_object *object, const struct step *step)
{
	const struct job *job = object->job;
	struct record record;
	size_t at = 0;

	while (records_next(job->records, job->records_size, &at, &record)) {
		if (record.kind != (uint32_t)step->kind ||
		    step->set(object, &record))
			continue;
		/* libbpf refuses none of these once they have been checked */
		if (object->answer->records.size == 0)
			job_errors_badarg(object->answer,
					  "an option of %s is refused",
					  record.name ? record.name : "");
		return false;
	}
	return true;
}

bool job_object_set(struct job_object *object)
{
	choose_programs(object);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		if (!take(object, &steps[i]))
			return false;
	if (!job_object_check(object))
		return false;
	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
		if (!take(object, &variables[i]))
			return false;
	return add_logs(object);
}
