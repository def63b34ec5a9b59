/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a load has made, as a term:
 *
 *	#{programs := #{Name => program()}, maps := #{Name => ebpf_map()},
 *	  variables := #{Name => #{map := ebpf_map(), offset := integer(),
 *	                           size := integer()}},
 *	  log => #{Name => binary()}}
 */
#include <string.h>

#include "bpf/program.h"
#include "call/loaded.h"
#include "call/objects.h"

#define ANSWER_MARGIN 128
#define ENTRY_MARGIN 96 /* of a name and of a map's keys */

static size_t map_size(const struct loaded_map *map)
{
	return map->given.size > 0 ? map->given.size
				   : objects_handle_size(&map->map->resource);
}

static size_t name_size(const char *name)
{
	return strlen(name) + ENTRY_MARGIN;
}

size_t loaded_size(const struct loaded *loaded)
{
	size_t size = ANSWER_MARGIN;

	for (size_t i = 0; i < loaded->program_count; i++) {
		const struct loaded_program *program = &loaded->programs[i];

		size += 2 * name_size(program->name) +
			objects_handle_size(&program->program->resource) +
			program->log.size;
	}
	for (size_t i = 0; i < loaded->map_count; i++)
		size += name_size(loaded->maps[i].name) +
			map_size(&loaded->maps[i]);
	for (size_t i = 0; i < loaded->variable_count; i++)
		size += name_size(loaded->variables[i].name) +
			map_size(loaded->variables[i].map);
	return size;
}

static void write_name(struct call *call, const char *name)
{
	term_write_binary(call->out, name, strlen(name));
}

static void write_map(struct call *call, const struct loaded_map *map)
{
	if (map->given.size > 0)
		term_write_term(call->out, map->given);
	else
		objects_write_handle(call, &map->map->resource, &map->ref);
}

static void write_variable(struct call *call,
			   const struct loaded_variable *variable)
{
	size_t map = term_write_map_open(call->out);

	term_write_atom(call->out, "map");
	write_map(call, variable->map);
	term_write_entry(call->out, "offset", variable->offset);
	term_write_entry(call->out, "size", variable->size);
	term_write_map_close(call->out, map, 3);
}

/* --- Parts ---------------------------------------------------------------- */

static uint32_t write_programs(struct call *call, const struct loaded *loaded)
{
	for (size_t i = 0; i < loaded->program_count; i++) {
		const struct loaded_program *program = &loaded->programs[i];

		write_name(call, program->name);
		objects_write_handle(call, &program->program->resource,
				     &program->ref);
	}
	return (uint32_t)loaded->program_count;
}

static uint32_t write_maps(struct call *call, const struct loaded *loaded)
{
	for (size_t i = 0; i < loaded->map_count; i++) {
		write_name(call, loaded->maps[i].name);
		write_map(call, &loaded->maps[i]);
	}
	return (uint32_t)loaded->map_count;
}

static uint32_t write_variables(struct call *call, const struct loaded *loaded)
{
	for (size_t i = 0; i < loaded->variable_count; i++) {
		write_name(call, loaded->variables[i].name);
		write_variable(call, &loaded->variables[i]);
	}
	return (uint32_t)loaded->variable_count;
}

static uint32_t write_logs(struct call *call, const struct loaded *loaded)
{
	for (size_t i = 0; i < loaded->program_count; i++) {
		const struct loaded_program *program = &loaded->programs[i];

		write_name(call, program->name);
		term_write_binary(call->out, program->log.data,
				  program->log.size);
	}
	return (uint32_t)loaded->program_count;
}

static const struct {
	const char *name;
	uint32_t (*write)(struct call *call, const struct loaded *loaded);
} parts[] = {
	{ "programs", write_programs },
	{ "maps", write_maps },
	{ "variables", write_variables },
	{ "log", write_logs },
};

#define PARTS (sizeof(parts) / sizeof(parts[0]))

void loaded_write(struct call *call, const struct loaded *loaded,
		  bool with_logs)
{
	uint32_t count = (uint32_t)PARTS - !with_logs;
	size_t all = term_write_map_open(call->out), part;

	for (uint32_t i = 0; i < count; i++) {
		term_write_atom(call->out, parts[i].name);
		part = term_write_map_open(call->out);
		term_write_map_close(call->out, part,
				     parts[i].write(call, loaded));
	}
	term_write_map_close(call->out, all, count);
}
