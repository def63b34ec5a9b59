/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs as values of maps. The kernel takes a descriptor and gives an id:
 *
 *	map                    put                      got
 *	prog_array             program()                {id, Id}
 *	devmap, devmap_hash    {Interface, program()}   {IfIndex, {id, Id}}
 *	cpumap                 {QueueSize, program()}   {QueueSize, {id, Id}}
 *
 *	Interface = IfIndex | {ifname, Name}
 *
 * The last two are of maps whose values have 8 bytes; without a program these
 * are plain bytes. Ids are too where the node serves no programs. A program in
 * a map runs as one that is attached: putting it takes the permission to load.
 */
#include "call/program_values.h"

#include <string.h>

#include "bpf/program.h"
#include "bpf/program_words.h"
#include "call/named.h"
#include "call/objects.h"
#include "call/refusal.h"

bool program_values_is(const struct map *map, struct term t)
{
	struct term pair[2];

	if (map->traits & MAP_VALUE_IS_PROGRAM)
		return objects_is_handle(t, &program_kind);
	return term_tuple_of(t, pair, 2) &&
	       objects_is_handle(pair[1], &program_kind);
}

static bool read_program(struct call *call, struct term t)
{
	const struct call_common *common = call->context->common;

	if (!common->loader)
		return refusal_raise(call, REFUSAL_NO_PROGRAMS, NULL);
	if (call->context->permission < PERMISSION_LOAD)
		return refusal_raise(call, REFUSAL_MAY_NOT_LOAD, NULL);
	if (!objects_read_program(call, t))
		return false;
	return program_words_allow(common->program_words,
				   call->program->type) ||
	       refusal_raise(call, REFUSAL_PROGRAM_TYPE,
			     program_name(call->program));
}

static bool read_number(struct call *call, struct term t, uint32_t *number)
{
	bool named = false;

	if (call->map->traits & MAP_VALUE_IS_INTERFACE &&
	    !named_read_interface(call, t, number, &named))
		return false;
	return named || term_read_uint32(t, number) ||
	       raise_reason(call, RAISED_BADARG);
}

bool program_values_read(struct call *call, struct term t, char *buffer)
{
	struct program_values_numbered value;
	struct term pair[2];

	if (call->map->traits & MAP_VALUE_IS_PROGRAM) {
		if (!read_program(call, t))
			return false;
		memset(buffer, 0, call->map->value_size);
		memcpy(buffer, &call->program->resource.fd, sizeof(int));
		return true;
	}
	if (!term_tuple_of(t, pair, 2))
		return raise_reason(call, RAISED_BADARG);
	if (!read_program(call, pair[1]) ||
	    !read_number(call, pair[0], &value.number))
		return false;
	value.program = (uint32_t)call->program->resource.fd;
	memcpy(buffer, &value, sizeof(value));
	return true;
}

static void write_id(struct call *call, uint32_t id)
{
	term_write_tuple(call->out, 2);
	term_write_entry(call->out, "id", id);
}

bool program_values_write(struct call *call, const char *bytes)
{
	struct program_values_numbered value;
	uint32_t id;

	if (!call->context->common->loader)
		return false;
	if (call->map->traits & MAP_VALUE_IS_PROGRAM) {
		memcpy(&id, bytes, sizeof(id));
		write_id(call, id);
		return true;
	}
	memcpy(&value, bytes, sizeof(value));
	if (value.program == 0)
		return false;
	term_write_tuple(call->out, 2);
	term_write_uint(call->out, value.number);
	write_id(call, value.program);
	return true;
}
