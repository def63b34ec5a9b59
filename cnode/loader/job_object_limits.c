/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Before anything is created: whether an object has only what the request may
 * load, and no more of it than it may.
 */
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>

#include "bpf/map_size.h"
#include "bpf/program.h"
#include "bpf/program_words.h"
#include "loader/job_errors.h"
#include "loader/job_object.h"

/* --- Programs ----------------------------------------------------------- */

static bool check_type(struct job_object *object,
		       const struct bpf_program *program)
{
	enum bpf_prog_type type = bpf_program__type(program);
	const char *name = bpf_program__name(program);
	const char *word = program_type_name((uint32_t)type);

	if (type == BPF_PROG_TYPE_UNSPEC)
		return job_errors_object(
			object->answer,
			"section %s of program %s tells no type of program",
			bpf_program__section_name(program), name);
	return program_words_allow(object->options.words, (uint32_t)type) ||
	       job_errors_denied(object->answer, name,
				 word ? word : "this type of program");
}

/* What there would be. */
struct count {
	uint32_t needs; /* set of 1 << enum program_capability */
	uint64_t programs;
	uint64_t maps;
	uint64_t bytes;
};

static bool check_programs(struct job_object *object, struct count *count)
{
	struct bpf_program *program;
	uint32_t type;

	bpf_object__for_each_program(program, object->object)
	{
		if (!bpf_program__autoload(program))
			continue;
		if (!check_type(object, program))
			return false;
		type = (uint32_t)bpf_program__type(program);
		count->needs |= 1u
				<< program_words[program_word_of(type)].needs;
		count->programs++;
	}
	return true;
}

/* --- Maps --------------------------------------------------------------- */

/* Those that the kernel takes CAP_NET_ADMIN for. */
static bool is_of_network(enum bpf_map_type type)
{
	return type == BPF_MAP_TYPE_DEVMAP ||
	       type == BPF_MAP_TYPE_DEVMAP_HASH ||
	       type == BPF_MAP_TYPE_SOCKMAP || type == BPF_MAP_TYPE_SOCKHASH ||
	       type == BPF_MAP_TYPE_XSKMAP;
}

static uint64_t bytes_of(const struct bpf_map *map)
{
	const struct map_spec spec = {
		.type = bpf_map__type(map),
		.key_size = bpf_map__key_size(map),
		.value_size = bpf_map__value_size(map),
		.max_entries = bpf_map__max_entries(map),
		.flags = bpf_map__map_flags(map),
		.extra = bpf_map__map_extra(map),
	};

	return map_size_needed(&spec);
}

static uint64_t add(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static bool check_maps(struct job_object *object, struct count *count)
{
	for (size_t i = 0; i < object->map_count; i++) {
		struct bpf_map *map = object->maps[i].map, *inner;

		if (bpf_map__type(map) == BPF_MAP_TYPE_STRUCT_OPS)
			return job_errors_denied(object->answer,
						 object->maps[i].name,
						 "struct_ops");
		if (object->maps[i].reused || !bpf_map__autocreate(map))
			continue;
		/* the template of a map of maps is made as well */
		inner = bpf_map__inner_map(map);
		count->bytes = add(count->bytes, bytes_of(map));
		if (inner)
			count->bytes = add(count->bytes, bytes_of(inner));
		count->maps++;
		if (is_of_network(bpf_map__type(map)))
			count->needs |= 1u << PROGRAM_NEEDS_NET_ADMIN;
	}
	return true;
}

/* --- Names -------------------------------------------------------------- */

/* Each is a key of the result: libbpf takes objects with two of one name. */
static bool check_name(const struct job_object *object, const char *what,
		       const char *name)
{
	struct bpf_program *program;
	unsigned count = 0;

	if (strlen(name) >= LOADER_NAME_SIZE)
		return job_errors_object(
			object->answer,
			"the name of %s %.32s... is longer than %u bytes", what,
			name, LOADER_NAME_SIZE - 1);
	if (*what == 'm')
		for (size_t i = 0; i < object->map_count; i++)
			count += strcmp(object->maps[i].name, name) == 0;
	else
		bpf_object__for_each_program(program, object->object) count +=
			strcmp(bpf_program__name(program), name) == 0;
	return count == 1 ||
	       job_errors_object(object->answer, "there are %u %ss %s", count,
				 what, name);
}

static bool check_names(const struct job_object *object)
{
	struct bpf_program *program;

	bpf_object__for_each_program(
		program,
		object->object) if (bpf_program__autoload(program) &&
				    !check_name(object, "program",
						bpf_program__name(
							program))) return false;
	for (size_t i = 0; i < object->map_count; i++)
		if (!check_name(object, "map", object->maps[i].name))
			return false;
	return true;
}

/* --- Room --------------------------------------------------------------- */

/* The node may have more: it asks again then. */
static bool tell_needs(const struct job_object *object,
		       const struct count *count)
{
	const struct record needs = {
		.kind = LOADER_R_NEEDS,
		.number = count->maps << 32 | count->programs,
		.data = &count->bytes,
		.size = sizeof(count->bytes),
	};

	job_answer_add(object->answer, &needs, -1);
	for (size_t i = 0; i < object->map_count; i++) {
		const struct job_map *map = &object->maps[i];
		const struct record pin = { .kind = LOADER_R_MAP,
					    .name = map->name,
					    .number = 1 };

		if (map->asks_pin && !map->reused)
			job_answer_add(object->answer, &pin, -1);
	}
	return false;
}

static bool check_room(const struct job_object *object,
		       const struct count *count)
{
	const struct job_options *options = &object->options;

	return (count->maps <= options->max_maps &&
		count->programs <= options->max_programs &&
		count->bytes <= options->map_memory) ||
	       tell_needs(object, count);
}

bool job_object_check(struct job_object *object)
{
	struct count count = { .needs = 0 };
	int error;

	if (!check_programs(object, &count) || !check_maps(object, &count) ||
	    !check_names(object) || !check_room(object, &count))
		return false;
	error = job_narrow(count.needs);
	return error == 0 || job_errors_posix(object->answer, -error);
}
