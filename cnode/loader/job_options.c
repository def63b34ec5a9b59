/* SPDX-License-Identifier: Apache-2.0 */
/* Options of jobs, as records: the node is believed no more than it has to. */
#include "loader/job_options.h"

#include <errno.h>
#include <string.h>

#include "loader/job_errors.h"

#define MAX_REPEAT 1000000
#define MAX_LOG_LEVEL 2
#define MAX_DATA 1048576

/* --- Readers ------------------------------------------------------------ */

static bool read_u32(const struct record *record, uint32_t *number)
{
	*number = (uint32_t)record->number;
	return record->number <= UINT32_MAX;
}

static bool read_text(const struct record *record, char *text, size_t size)
{
	if (record->size >= size ||
	    (record->size > 0 && memchr(record->data, '\0', record->size)))
		return false;
	memset(text, 0, size);
	if (record->size > 0)
		memcpy(text, record->data, record->size);
	return true;
}

/* Empty data are data too. */
static bool read_bytes(const struct record *record, const void **bytes,
		       size_t *size)
{
	*bytes = record->size > 0 ? record->data : "";
	*size = record->size;
	return record->size <= MAX_DATA;
}

static bool read_types(struct job_options *options, const struct record *record)
{
	options->words &= (uint32_t)record->number;
	return true;
}

static bool read_map_memory(struct job_options *options,
			    const struct record *record)
{
	options->map_memory = record->number;
	return true;
}

static bool read_max_maps(struct job_options *options,
			  const struct record *record)
{
	options->max_maps = record->number;
	return true;
}

static bool read_max_programs(struct job_options *options,
			      const struct record *record)
{
	options->max_programs = record->number;
	return true;
}

static bool read_name(struct job_options *options, const struct record *record)
{
	return read_text(record, options->name, sizeof(options->name));
}

static bool read_log(struct job_options *options, const struct record *record)
{
	options->log_level = (unsigned)record->number;
	return record->number <= MAX_LOG_LEVEL;
}

static bool read_type(struct job_options *options, const struct record *record)
{
	return read_u32(record, &options->type);
}

static bool read_attach_type(struct job_options *options,
			     const struct record *record)
{
	return read_u32(record, &options->attach_type);
}

static bool read_attach_to(struct job_options *options,
			   const struct record *record)
{
	return read_text(record, options->attach_to,
			 sizeof(options->attach_to));
}

static bool read_license(struct job_options *options,
			 const struct record *record)
{
	return read_text(record, options->license, sizeof(options->license));
}

static bool read_sleepable(struct job_options *options,
			   const struct record *record)
{
	(void)record;
	options->sleepable = true;
	return true;
}

static bool read_data(struct job_options *options, const struct record *record)
{
	return read_bytes(record, &options->data, &options->data_size);
}

static bool read_context(struct job_options *options,
			 const struct record *record)
{
	return read_bytes(record, &options->context, &options->context_size);
}

static bool read_repeat(struct job_options *options,
			const struct record *record)
{
	return read_u32(record, &options->repeat) &&
	       options->repeat <= MAX_REPEAT;
}

static bool read_cpu(struct job_options *options, const struct record *record)
{
	options->has_cpu = true;
	return read_u32(record, &options->cpu);
}

static bool read_target(struct job_options *options,
			const struct record *record)
{
	struct attach_target *target = &options->target;

	if (record->size != sizeof(*target))
		return false;
	memcpy(target, record->data, sizeof(*target));
	options->has_target = true;
	return target->kind < ATTACH_KINDS &&
	       memchr(target->category, '\0', sizeof(target->category)) &&
	       memchr(target->name, '\0', sizeof(target->name));
}

static bool read_watermark(struct job_options *options,
			   const struct record *record)
{
	return read_u32(record, &options->watermark);
}

/* --- The table ---------------------------------------------------------- */

static const struct {
	enum loader_option kind;
	bool of_all; /* those of an object bear a name, and are not read here */
	const char *name;
	bool (*read)(struct job_options *options, const struct record *record);
} rows[] = {
	{ LOADER_O_TYPES, true, "types", read_types },
	{ LOADER_O_MAP_MEMORY, true, "map_memory", read_map_memory },
	{ LOADER_O_MAX_MAPS, true, "max_maps", read_max_maps },
	{ LOADER_O_MAX_PROGRAMS, true, "max_programs", read_max_programs },
	{ LOADER_O_NAME, true, "name", read_name },
	{ LOADER_O_LOG, true, "log", read_log },
	{ LOADER_O_TYPE, true, "type", read_type },
	{ LOADER_O_ATTACH_TYPE, false, "attach_type", read_attach_type },
	{ LOADER_O_ATTACH_TO, false, "attach_to", read_attach_to },
	{ LOADER_O_LICENSE, true, "license", read_license },
	{ LOADER_O_SLEEPABLE, true, "sleepable", read_sleepable },
	{ LOADER_O_DATA, true, "data", read_data },
	{ LOADER_O_CONTEXT, true, "context", read_context },
	{ LOADER_O_REPEAT, true, "repeat", read_repeat },
	{ LOADER_O_CPU, true, "cpu", read_cpu },
	{ LOADER_O_TARGET, true, "target", read_target },
	{ LOADER_O_WATERMARK, true, "watermark", read_watermark },
};

static bool read_one(struct job_options *options, const struct record *record,
		     struct job_answer *answer)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if ((uint32_t)rows[i].kind == record->kind &&
		    (rows[i].of_all || !record->name))
			return rows[i].read(options, record) ||
			       job_errors_badarg(answer, "%s is out of range",
						 rows[i].name);
	return true;
}

bool job_options_read(const struct job *job, struct job_options *options,
		      struct job_answer *answer)
{
	struct record record;
	size_t at = 0;

	*options = (struct job_options){
		.words = job->words,
		.map_memory = UINT64_MAX,
		.max_maps = LOADER_MAX_ANSWER_FDS,
		.max_programs = LOADER_MAX_ANSWER_FDS,
		.name = "object",
	};
	while (records_next(job->records, job->records_size, &at, &record))
		if (!read_one(options, &record, answer))
			return false;
	return at != SIZE_MAX || job_errors_posix(answer, EPROTO);
}
