/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a layout, which says how bytes are a term, into a plan:
 *
 *	layout()   = u8 | u16 | u32 | u64 | u128 | s8 | s16 | s32 | s64 | s128
 *	           | be16 | be32 | be64 | bool | f32 | f64 | ptr
 *	           | {char, Size} | {bytes, Size}
 *	           | {array, Count, layout()}
 *	           | {enum, Size, [{name(), integer()}]}
 *	           | {struct, Size, [member()]} | {union, Size, [member()]}
 *	member()   = {name(), BitOffset, layout() | hidden}
 *	           | {name(), BitOffset, BitSize, layout()}
 *	name()     = binary() | atom() | string()
 *
 * The plan's builder judges what it is given. Here a layout is read from front
 * to end, and never to see where a part ends, however deep they are in each
 * other.
 */
#include "types/layout_read.h"

#include <errno.h>

#include "types/numbers.h"

/* More than any layout takes that a plan has room for. */
#define MAX_SIZE ((size_t)512 * 1024)
#define MAX_STRING 1024 /* bytes of a name that is a list, and a NUL */

struct reader {
	const char *pos;
	const char *end;
	struct plan *plan;
	char string[MAX_STRING];
};

static int read_type(struct reader *r, struct plan_part *part);

/* --- Terms, in turn ----------------------------------------------------- */

static struct term rest(const struct reader *r)
{
	return (struct term){ r->pos, (size_t)(r->end - r->pos) };
}

/* One that is no tuple or list of parts, so that it is passed over just once.
 */
static struct term next(struct reader *r)
{
	struct term t = { r->pos, term_size(r->pos) };

	r->pos += t.size;
	return t;
}

static bool open_tuple(struct reader *r, uint32_t *arity)
{
	struct term_items items;

	if (!term_tuple(rest(r), &items))
		return false;
	r->pos = items.pos;
	*arity = items.left;
	return true;
}

static bool open_list(struct reader *r, uint32_t *count)
{
	struct term_items items;

	if (!term_list(rest(r), &items) || items.bytes)
		return false;
	r->pos = items.pos; /* of an empty list it is at its end */
	*count = items.left;
	return true;
}

static bool close_list(struct reader *r)
{
	return *r->pos++ == ERL_NIL_EXT;
}

/* *size 0: an anonymous member. */
static int read_name(struct reader *r, const char **name, size_t *size)
{
	struct term t = next(r);

	if (!term_read_binary(t, name, size) &&
	    !term_read_atom(t, name, size)) {
		if (!term_is_list(t))
			return -EINVAL;
		*name = r->string;
		if (!term_read_characters(t, r->string, sizeof(r->string),
					  size))
			return term_is_characters(t) ? -E2BIG : -EINVAL;
	}
	return memchr(*name, '\0', *size) ? -EINVAL : 0;
}

/* --- Types without parts ------------------------------------------------ */

static const struct {
	const char *name;
	enum plan_kind kind;
	uint32_t size;
} scalars[] = {
	{ "u8", PLAN_UNSIGNED, 1 },     { "u16", PLAN_UNSIGNED, 2 },
	{ "u32", PLAN_UNSIGNED, 4 },    { "u64", PLAN_UNSIGNED, 8 },
	{ "u128", PLAN_UNSIGNED, 16 },  { "s8", PLAN_SIGNED, 1 },
	{ "s16", PLAN_SIGNED, 2 },      { "s32", PLAN_SIGNED, 4 },
	{ "s64", PLAN_SIGNED, 8 },      { "s128", PLAN_SIGNED, 16 },
	{ "be16", PLAN_BIG_ENDIAN, 2 }, { "be32", PLAN_BIG_ENDIAN, 4 },
	{ "be64", PLAN_BIG_ENDIAN, 8 }, { "bool", PLAN_BOOL, 1 },
	{ "f32", PLAN_FLOAT, 4 },       { "f64", PLAN_FLOAT, 8 },
	{ "ptr", PLAN_POINTER, 8 },     { "hidden", PLAN_HIDDEN, 0 },
};

static int read_scalar(struct reader *r, struct plan_part *part)
{
	struct term t = next(r);

	for (size_t i = 0; i < sizeof(scalars) / sizeof(scalars[0]); i++)
		if (term_is_atom(t, scalars[i].name)) {
			part->kind = scalars[i].kind;
			part->size = scalars[i].size;
			return plan_add(r->plan, part);
		}
	return -EINVAL;
}

/* --- Enums -------------------------------------------------------------- */

struct constant {
	const char *name;
	size_t name_size;
	uint64_t value;
	bool negative;
};

/* -2^63 =< I < 2^64 */
static bool read_value(struct term t, struct constant *constant)
{
	constant->negative = false;
	if (term_read_uint64(t, &constant->value))
		return true;
	constant->negative = true;
	return term_read_bytes(t, (char *)&constant->value,
			       sizeof(constant->value)) &&
	       (int64_t)constant->value < 0;
}

static int read_constant(struct reader *r, struct constant *constant)
{
	uint32_t arity;
	int error;

	if (!open_tuple(r, &arity) || arity != 2)
		return -EINVAL;
	error = read_name(r, &constant->name, &constant->name_size);
	if (error < 0)
		return error;
	return read_value(next(r), constant) ? 0 : -EINVAL;
}

static int add_constant(struct reader *r, bool is_signed)
{
	struct constant constant;
	int error = read_constant(r, &constant);

	if (error < 0)
		return error;
	/* the plan would take its bits for a negative one of 8 bytes */
	if (is_signed && !constant.negative && (int64_t)constant.value < 0)
		return -EINVAL;
	return plan_add_constant(r->plan, constant.name, constant.name_size,
				 constant.value);
}

/* A negative constant makes all of them signed. */
static int look_for_negative(const struct reader *from, uint32_t count,
			     bool *negative)
{
	struct reader r = { .pos = from->pos, .end = from->end };
	struct constant constant = { .negative = false };
	int error = 0;

	for (uint32_t i = 0; i < count && !constant.negative && error == 0; i++)
		error = read_constant(&r, &constant);
	*negative = constant.negative;
	return error;
}

static int read_enum(struct reader *r, struct plan_part *part)
{
	uint32_t count;
	int error;

	if (!term_read_uint32(next(r), &part->size) || !open_list(r, &count))
		return -EINVAL;
	if (count > PLAN_MAX_STEPS)
		return -E2BIG;
	error = look_for_negative(r, count, &part->is_signed);
	if (error < 0)
		return error;
	part->kind = PLAN_ENUM;
	error = plan_add(r->plan, part);
	for (uint32_t i = 0; i < count && error == 0; i++)
		error = add_constant(r, part->is_signed);
	if (error < 0)
		return error;
	return close_list(r) ? 0 : -EINVAL;
}

/* --- Types with parts --------------------------------------------------- */

static int read_array(struct reader *r, struct plan_part *part)
{
	struct plan_part element = { 0 };
	int error;

	if (!term_read_uint32(next(r), &part->count))
		return -EINVAL;
	part->kind = PLAN_ARRAY;
	error = plan_open(r->plan, part);
	if (error == 0)
		error = read_type(r, &element);
	return error < 0 ? error : plan_close(r->plan);
}

/* 0 would stand for none. */
static bool read_bit_size(struct term t, uint8_t *size)
{
	uint32_t bits;

	if (!term_read_uint32(t, &bits) || bits == 0 || bits > 64)
		return false;
	*size = (uint8_t)bits;
	return true;
}

static int read_member(struct reader *r)
{
	struct plan_part part = { 0 };

	struct name {
		const char *text;
		size_t size;
	} name;

	uint32_t arity;
	int error;

	if (!open_tuple(r, &arity) || arity < 3 || arity > 4)
		return -EINVAL;
	error = read_name(r, &name.text, &name.size);
	if (error < 0)
		return error;
	part.name = name.text;
	part.name_size = name.size;
	if (!term_read_uint32(next(r), &part.bit_offset) ||
	    (arity == 4 && !read_bit_size(next(r), &part.bit_size)))
		return -EINVAL;
	return read_type(r, &part);
}

static int read_members(struct reader *r, struct plan_part *part)
{
	uint32_t count;
	int error;

	if (!term_read_uint32(next(r), &part->size) || !open_list(r, &count))
		return -EINVAL;
	error = plan_open(r->plan, part);
	for (uint32_t i = 0; i < count && error == 0; i++)
		error = read_member(r);
	if (error < 0)
		return error;
	return close_list(r) ? plan_close(r->plan) : -EINVAL;
}

static int read_text(struct reader *r, struct plan_part *part)
{
	if (!term_read_uint32(next(r), &part->size))
		return -EINVAL;
	return plan_add(r->plan, part);
}

/* The builder stops what is too deep: recursion is behind plan_open() alone. */
static int read_type(struct reader *r, struct plan_part *part)
{
	struct term name;
	uint32_t arity;

	if (!open_tuple(r, &arity))
		return read_scalar(r, part);
	if (arity < 2 || arity > 3)
		return -EINVAL;
	name = next(r);
	part->kind = term_is_atom(name, "char")     ? PLAN_CHARS
		     : term_is_atom(name, "struct") ? PLAN_STRUCT
		     : term_is_atom(name, "union")  ? PLAN_UNION
						    : PLAN_BYTES;
	if (arity == 2)
		return part->kind == PLAN_CHARS || term_is_atom(name, "bytes")
			       ? read_text(r, part)
			       : -EINVAL;
	if (part->kind == PLAN_STRUCT || part->kind == PLAN_UNION)
		return read_members(r, part);
	if (term_is_atom(name, "array"))
		return read_array(r, part);
	return term_is_atom(name, "enum") ? read_enum(r, part) : -EINVAL;
}

/* --- The whole ---------------------------------------------------------- */

int layout_read(struct term t, uint32_t size, struct plan **plan)
{
	struct reader r = { .pos = t.at, .end = t.at + t.size };
	struct plan_part part = { 0 };
	int error;

	if (t.size > MAX_SIZE)
		return -E2BIG;
	r.plan = plan_new();
	if (!r.plan)
		return -ENOMEM;
	error = read_type(&r, &part);
	if (error == 0 && r.pos != r.end)
		error = -EINVAL;
	return plan_end(r.plan, error, size, plan);
}
