/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Before anything is created: whether an object has only what the request may
 * load, and no more of it than it may.
 */
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>

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

static bool check_programs(struct job_object *object, uint32_t *needs)
{
	struct bpf_program *program;
	uint64_t count = 0;
	uint32_t type;

	bpf_object__for_each_program(program, object->object)
	{
		if (!bpf_program__autoload(program))
			continue;
		if (!check_type(object, program))
			return false;
		type = (uint32_t)bpf_program__type(program);
		*needs |= 1u << program_words[program_word_of(type)].needs;
		count++;
	}
	return count <= object->options.max_programs ||
	       job_errors_posix(object->answer, EMFILE);
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

static bool check_maps(struct job_object *object, uint32_t *needs)
{
	uint64_t bytes = 0, count = 0;

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
		bytes = add(bytes, bytes_of(map));
		bytes = inner ? add(bytes, bytes_of(inner)) : bytes;
		count++;
		if (is_of_network(bpf_map__type(map)))
			*needs |= 1u << PROGRAM_NEEDS_NET_ADMIN;
	}
	if (count > object->options.max_maps)
		return job_errors_posix(object->answer, EMFILE);
	return bytes <= object->options.map_memory ||
	       job_errors_posix(object->answer, ENOMEM);
}

bool job_object_check(struct job_object *object)
{
	uint32_t needs = 0;
	int error;

	if (!check_programs(object, &needs) || !check_maps(object, &needs))
		return false;
	error = job_narrow(needs);
	return error == 0 || job_errors_posix(object->answer, -error);
}
