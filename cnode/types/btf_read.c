/* SPDX-License-Identifier: Apache-2.0 */
/* From BTF to a plan, which bounds how much of it is read. */
#include "types/btf_read.h"

#include <bpf/btf.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "types/btf_visit.h"

struct reader {
	struct btf_visitor visitor;
	struct plan *plan;
};

/* --- Scalars ------------------------------------------------------------ */

/* A bit-field that is all of its type is none. */
static int add_number(struct reader *r, struct plan_part *part)
{
	if (part->bit_size == 8 * part->size && part->bit_offset % 8 == 0)
		part->bit_size = 0;
	return plan_add(r->plan, part);
}

static bool is_regular(const struct btf_type *type)
{
	return btf_int_bits(type) == 8 * type->size &&
	       btf_int_offset(type) == 0;
}

static enum plan_kind kind_of_int(const struct btf_stripped *stripped,
				  const struct plan_part *part)
{
	unsigned encoding = btf_int_encoding(stripped->type);

	if (encoding & BTF_INT_SIGNED)
		return PLAN_SIGNED;
	if (encoding & BTF_INT_BOOL && part->size == 1)
		return PLAN_BOOL;
	return stripped->is_big_endian && !part->bit_size && part->size > 1 &&
			       part->size <= 8
		       ? PLAN_BIG_ENDIAN
		       : PLAN_UNSIGNED;
}

/* Compilers once made a type of its own for a bit-field. */
static int read_int(struct reader *r, const struct btf_stripped *stripped,
		    struct plan_part *part)
{
	const struct btf_type *type = stripped->type;

	part->size = type->size;
	if (!is_regular(type)) {
		if (part->bit_size || btf_int_bits(type) == 0)
			return -EINVAL;
		part->bit_size = btf_int_bits(type);
		part->bit_offset += btf_int_offset(type);
	}
	part->kind = kind_of_int(stripped, part);
	return add_number(r, part);
}

/* There are longer ones, which C programs do not use: they stay bytes. */
static int read_float(struct reader *r, const struct btf_type *type,
		      struct plan_part *part)
{
	if (type->size == 0) /* which the kernel takes for none, either */
		return -EINVAL;
	part->size = type->size;
	part->kind =
		part->size == 4 || part->size == 8 ? PLAN_FLOAT : PLAN_BYTES;
	return plan_add(r->plan, part);
}

static int read_pointer(struct reader *r, struct plan_part *part)
{
	part->kind = PLAN_POINTER;
	part->size = 8;
	return plan_add(r->plan, part);
}

static int add_constant(struct reader *r, uint32_t name_offset, uint64_t value)
{
	const char *name = btf_visit_name(&r->visitor, name_offset);

	return name ? plan_add_constant(r->plan, name,
					strnlen(name, PLAN_MAX_NAMES + 1),
					value)
		    : -EINVAL;
}

/* Those of BTF_KIND_ENUM have 32 bits, whatever the size of the type. */
static uint64_t narrow(int32_t value, const struct plan_part *part)
{
	if (part->is_signed)
		return (uint64_t)(int64_t)value;
	return part->size < 4 ? (uint32_t)value & ((1u << 8 * part->size) - 1)
			      : (uint32_t)value;
}

static int read_enum(struct reader *r, const struct btf_type *type,
		     struct plan_part *part)
{
	const struct btf_enum64 *wide = btf_enum64(type);
	const struct btf_enum *constants = btf_enum(type);
	bool is_wide = btf_is_enum64(type);
	int error;

	part->kind = PLAN_ENUM;
	part->size = type->size;
	part->is_signed = btf_kflag(type);
	error = add_number(r, part);
	for (uint32_t i = 0; error == 0 && i < btf_vlen(type); i++)
		error = is_wide ? add_constant(r, wide[i].name_off,
					       btf_enum64_value(&wide[i]))
				: add_constant(r, constants[i].name_off,
					       narrow(constants[i].val, part));
	return error;
}

/* --- What has parts ----------------------------------------------------- */

static int read_kind(struct reader *r, const struct btf_stripped *stripped,
		     struct plan_part *part);
static int read_shown(struct reader *r, const struct btf_stripped *stripped,
		      struct plan_part *part);

/* BTF has no flag for text: its type is char by name. */
static bool is_text(const struct reader *r, const struct btf_type *element,
		    enum plan_kind *kind)
{
	static const char *const text[] = { "char" };

	if (!btf_is_int(element) || element->size != 1 || !is_regular(element))
		return false;
	*kind = BTF_VISIT_NAMED(&r->visitor, element, text) ? PLAN_CHARS
							    : PLAN_BYTES;
	return *kind == PLAN_CHARS ||
	       !(btf_int_encoding(element) & (BTF_INT_SIGNED | BTF_INT_BOOL));
}

/* part->count: bytes for a flexible array. Its elements are not hidden. */
static int read_array(struct reader *r, const struct btf_type *type,
		      struct plan_part *part)
{
	const struct btf_array *array = btf_array(type);
	struct plan_part element = { .count = 0 };
	struct btf_stripped stripped;
	int error = btf_visit_strip(&r->visitor, array->type, &stripped);

	if (error < 0)
		return error;
	if (is_text(r, stripped.type, &part->kind)) {
		part->size = array->nelems ? array->nelems : part->count;
		return plan_add(r->plan, part);
	}
	part->kind = PLAN_ARRAY;
	part->count = array->nelems;
	error = plan_open(r->plan, part);
	if (error == 0)
		error = read_kind(r, &stripped, &element);
	return error < 0 ? error : plan_close(r->plan);
}

static int read_name(struct reader *r, uint32_t name_offset,
		     struct plan_part *part)
{
	part->name = btf_visit_name(&r->visitor, name_offset);
	if (!part->name)
		return -EINVAL;
	part->name_size = strnlen(part->name, PLAN_MAX_NAMES + 1);
	return 0;
}

/* rest: bytes from the start of the member to the end of the value, or 0. */
static int read_member(struct reader *r, const struct btf_type *type,
		       uint32_t index, uint32_t rest)
{
	const struct btf_member *member = &btf_members(type)[index];
	struct plan_part part = {
		.bit_offset = btf_member_bit_offset(type, index),
		.bit_size = (uint8_t)btf_member_bitfield_size(type, index),
		.count = rest,
	};
	struct btf_stripped stripped = { 0 };
	int error = read_name(r, member->name_off, &part);

	if (error == 0)
		error = btf_visit_strip(&r->visitor, member->type, &stripped);
	if (error < 0)
		return error;
	/* padding: only what has members can do without a name */
	if (part.name_size == 0 && !btf_is_composite(stripped.type))
		return 0;
	return read_shown(r, &stripped, &part);
}

/* size: of the value, if the structure is the outermost one; or 0. */
static int read_members(struct reader *r, const struct btf_type *type,
			uint32_t size)
{
	uint32_t count = btf_vlen(type), start;
	int error = 0;

	for (uint32_t i = 0; error == 0 && i + 1 < count; i++)
		error = read_member(r, type, i, 0);
	if (error < 0 || count == 0)
		return error;
	start = btf_member_bit_offset(type, count - 1) / 8;
	return read_member(r, type, count - 1, size > start ? size - start : 0);
}

static int read_composite(struct reader *r, const struct btf_type *type,
			  struct plan_part *part, uint32_t size)
{
	int error;

	part->kind = btf_is_union(type) ? PLAN_UNION : PLAN_STRUCT;
	part->size = size ? size : type->size;
	error = plan_open(r->plan, part);
	if (error == 0)
		error = read_members(r, type, size);
	return error < 0 ? error : plan_close(r->plan);
}

static int read_kind(struct reader *r, const struct btf_stripped *stripped,
		     struct plan_part *part)
{
	const struct btf_type *type = stripped->type;

	switch (btf_kind(type)) {
	case BTF_KIND_INT:
		return read_int(r, stripped, part);
	case BTF_KIND_FLOAT:
		return read_float(r, type, part);
	case BTF_KIND_PTR:
		return read_pointer(r, part);
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
		return read_enum(r, type, part);
	case BTF_KIND_ARRAY:
		return read_array(r, type, part);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		return read_composite(r, type, part, 0);
	default:
		return -EINVAL;
	}
}

/* One that may be hidden. */
static int read_shown(struct reader *r, const struct btf_stripped *stripped,
		      struct plan_part *part)
{
	bool hidden = false;
	int error = btf_visit_hidden(&r->visitor, stripped->type, &hidden);

	if (error < 0)
		return error;
	if (!hidden)
		return read_kind(r, stripped, part);
	part->kind = PLAN_HIDDEN;
	return plan_add(r->plan, part);
}

/* --- The outermost type ------------------------------------------------- */

static int read_variable(struct reader *r, const struct btf_var_secinfo *info)
{
	struct plan_part part = { .bit_offset = 8 * info->offset };
	const struct btf_type *variable;
	struct btf_stripped stripped;
	int error = btf_visit(&r->visitor, info->type, &variable);

	if (error < 0)
		return error;
	if (!btf_is_var(variable) || info->offset > PLAN_MAX_SIZE)
		return -EINVAL;
	error = read_name(r, variable->name_off, &part);
	if (error == 0)
		error = btf_visit_strip(&r->visitor, variable->type, &stripped);
	return error < 0 ? error : read_shown(r, &stripped, &part);
}

/* .data, .bss, .rodata and the like: a structure of variables. */
static int read_section(struct reader *r, const struct btf_type *type)
{
	const struct btf_var_secinfo *infos = btf_var_secinfos(type);
	struct plan_part part = { .kind = PLAN_STRUCT, .size = type->size };
	int error = plan_open(r->plan, &part);

	for (uint32_t i = 0; error == 0 && i < btf_vlen(type); i++)
		error = read_variable(r, &infos[i]);
	return error < 0 ? error : plan_close(r->plan);
}

/* Whether the last member is an array of as many as there is room for. */
static int is_flexible(struct reader *r, const struct btf_type *type,
		       bool *flexible)
{
	uint32_t count = btf_is_struct(type) ? btf_vlen(type) : 0;
	struct btf_stripped last;
	int error;

	*flexible = false;
	if (count == 0)
		return 0;
	error = btf_visit_strip(&r->visitor, btf_members(type)[count - 1].type,
				&last);
	if (error == 0)
		*flexible = btf_is_array(last.type) &&
			    btf_array(last.type)->nelems == 0;
	return error;
}

static int read_top(struct reader *r, uint32_t id, uint32_t size)
{
	struct plan_part part = { .count = 0 };
	struct btf_stripped stripped;
	bool flexible = false;
	int error = btf_visit_strip(&r->visitor, id, &stripped);

	if (error == 0)
		error = is_flexible(r, stripped.type, &flexible);
	if (error < 0)
		return error;
	if (btf_is_datasec(stripped.type))
		return read_section(r, stripped.type);
	return flexible && size >= stripped.type->size
		       ? read_composite(r, stripped.type, &part, size)
		       : read_shown(r, &stripped, &part);
}

int btf_read(const struct btf *btf, uint32_t type, uint32_t size,
	     struct plan **plan)
{
	struct reader r = { .visitor = { .btf = btf } };

	if (type == 0)
		return -ENOENT;
	r.plan = plan_new();
	if (!r.plan)
		return -ENOMEM;
	return plan_end(r.plan, read_top(&r, type, size), size, plan);
}
