/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The variables of an object, by the types in it: of each section the kernel
 * makes a map with one value. Those types are an object's word: an offset, a
 * size may be anything.
 */
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "loader/job_errors.h"
#include "loader/job_object.h"

struct variable {
	const char *name;
	struct job_map *map;
	uint32_t type;
	uint32_t offset;
	uint32_t size;
};

/* Where a walk over all of them has come to. */
struct walk {
	uint32_t section; /* its type */
	uint32_t index;   /* within that */
};

/* --- All variables ------------------------------------------------------ */

static struct job_map *map_of_section(const struct job_object *object,
				      const char *name)
{
	struct job_map *map =
		name && *name == '.' ? job_maps_find(object, name) : NULL;

	return map && map->internal ? map : NULL;
}

static bool read_variable(const struct job_object *object,
			  const struct btf *btf, const struct btf_type *section,
			  uint32_t index, struct variable *variable)
{
	const struct btf_var_secinfo *info = btf_var_secinfos(section) + index;
	const struct btf_type *type = btf__type_by_id(btf, info->type);
	uint32_t all;

	if (!type || !btf_is_var(type))
		return false;
	*variable = (struct variable){
		.name = btf__name_by_offset(btf, type->name_off),
		.map = map_of_section(
			object, btf__name_by_offset(btf, section->name_off)),
		.type = type->type,
		.offset = info->offset,
		.size = info->size,
	};
	if (!variable->name || !*variable->name || !variable->map)
		return false;
	all = bpf_map__value_size(variable->map->map);
	return info->size > 0 && info->size <= all &&
	       info->offset <= all - info->size;
}

static bool next_variable(const struct job_object *object, struct walk *walk,
			  struct variable *variable)
{
	const struct btf *btf = bpf_object__btf(object->object);
	const struct btf_type *section;

	if (!btf)
		return false;
	for (; walk->section < btf__type_cnt(btf); walk->section++) {
		section = btf__type_by_id(btf, walk->section);
		while (section && btf_is_datasec(section) &&
		       walk->index < btf_vlen(section))
			if (read_variable(object, btf, section, walk->index++,
					  variable))
				return true;
		walk->index = 0;
	}
	return false;
}

void job_variables_tell(struct job_object *object)
{
	struct walk walk = { .section = 1 };
	struct variable variable;

	while (next_variable(object, &walk, &variable)) {
		const struct record record = {
			.kind = LOADER_R_VARIABLE,
			.name = variable.name,
			.number =
				(uint64_t)variable.offset << 32 | variable.size,
			.data = variable.map->name,
			.size = strlen(variable.map->name),
		};

		job_answer_add(object->answer, &record, -1);
	}
}

/* --- Set ---------------------------------------------------------------- */

/* It is loaded with its map: so the map has to be a new one. */
static bool find(struct job_object *object, const struct record *record,
		 struct variable *variable)
{
	struct walk walk = { .section = 1 };
	const char *name = record->name ? record->name : "";

	while (next_variable(object, &walk, variable)) {
		if (strcmp(variable->name, name) != 0)
			continue;
		return !variable->map->reused ||
		       job_errors_badarg(object->answer,
					 "variable %s is in map %s, which is "
					 "there already",
					 name, variable->map->name);
	}
	job_errors_badarg(object->answer, "the object has no variable %s",
			  name);
	return false;
}

static bool set(struct job_object *object, const struct variable *variable,
		const void *bytes)
{
	struct bpf_map *map = variable->map->map;
	size_t all = 0;
	const void *before = bpf_map__initial_value(map, &all);
	char *after;
	int error;

	if (!before || variable->offset > all ||
	    variable->size > all - variable->offset)
		return job_errors_badarg(object->answer,
					 "variable %s cannot be set",
					 variable->name);
	after = malloc(all);
	if (!after)
		return job_errors_posix(object->answer, ENOMEM);
	memcpy(after, before, all);
	memcpy(after + variable->offset, bytes, variable->size);
	error = bpf_map__set_initial_value(map, after, all);
	free(after);
	return error == 0 ||
	       job_errors_badarg(object->answer, "variable %s cannot be set",
				 variable->name);
}

bool job_variables_set_bytes(struct job_object *object,
			     const struct record *record)
{
	struct variable variable;

	if (!find(object, record, &variable))
		return false;
	if (record->size != variable.size)
		return job_errors_badarg(
			object->answer, "variable %s has %u bytes, not %zu",
			variable.name, variable.size, record->size);
	return set(object, &variable, record->data);
}

/* --- Integers ----------------------------------------------------------- */

/* What fits: the bits of a number, and whether one of them is a sign. */
struct range {
	unsigned bits;
	bool is_signed;
};

static bool read_range(const struct job_object *object,
		       const struct variable *variable, struct range *range)
{
	const struct btf *btf = bpf_object__btf(object->object);
	int id = btf__resolve_type(btf, variable->type);
	const struct btf_type *type =
		id < 0 ? NULL : btf__type_by_id(btf, (uint32_t)id);

	if (!type || type->size != variable->size || type->size > 8 ||
	    (type->size & (type->size - 1)) != 0)
		return false;
	range->bits = type->size * 8;
	if (btf_is_int(type)) {
		range->is_signed = btf_int_encoding(type) & BTF_INT_SIGNED;
		if (btf_int_encoding(type) & BTF_INT_BOOL)
			range->bits = 1;
		return true;
	}
	/* of which clang before 15 never says that it is signed */
	range->is_signed = btf_kflag(type);
	return btf_is_any_enum(type);
}

static bool fits(uint64_t number, bool is_large, const struct range *range)
{
	uint64_t above;

	if (range->bits == 64 && range->is_signed)
		return !is_large;
	if (range->bits == 64)
		return is_large || number <= INT64_MAX;
	if (is_large)
		return false;
	/* all ones or all zeros, and of a signed one the sign as well */
	above = number >> (range->is_signed ? range->bits - 1 : range->bits);
	return above == 0 ||
	       (range->is_signed && above == UINT64_MAX >> (range->bits - 1));
}

bool job_variables_set_integer(struct job_object *object,
			       const struct record *record)
{
	struct variable variable;
	struct range range;
	uint8_t bytes[8];

	if (!find(object, record, &variable))
		return false;
	if (!read_range(object, &variable, &range))
		return job_errors_badarg(object->answer,
					 "variable %s is no integer",
					 variable.name);
	if (!fits(record->number, record->kind == LOADER_O_LARGE, &range))
		return job_errors_badarg(
			object->answer,
			"the number for variable %s does not fit %s%u bits",
			variable.name, range.is_signed ? "a sign and " : "",
			range.is_signed ? range.bits - 1 : range.bits);
	memcpy(bytes, &record->number, sizeof(bytes));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	memmove(bytes, bytes + sizeof(bytes) - variable.size, variable.size);
#endif
	return set(object, &variable, bytes);
}
