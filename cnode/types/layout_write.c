/* SPDX-License-Identifier: Apache-2.0 */
/* Writes a plan as a layout; layout_read.c says what that is. */
#include "types/layout_write.h"

#include "types/put_term.h"

#define MAX_VALUE (3 + 8) /* bytes of the term of 64 bits */

static const struct plan_step *write_type(const struct plan *plan,
					  const struct plan_step *step,
					  struct term_writer *w);

static const char *number_name(const struct plan_step *step)
{
	static const char *const unsigned_names[] = { "u8", "u16", "u32", "u64",
						      "u128" };
	static const char *const signed_names[] = { "s8", "s16", "s32", "s64",
						    "s128" };
	static const char *const big_endian_names[] = { "", "be16", "be32",
							"be64" };
	int power = __builtin_ctz(step->size);

	switch (step->kind) {
	case PLAN_UNSIGNED:
		return unsigned_names[power];
	case PLAN_SIGNED:
		return signed_names[power];
	case PLAN_BIG_ENDIAN:
		return big_endian_names[power];
	case PLAN_FLOAT:
		return power == 2 ? "f32" : "f64";
	case PLAN_BOOL:
		return "bool";
	default:
		return "ptr";
	}
}

static void write_name(const struct plan *plan, uint32_t name, uint32_t size,
		       struct term_writer *w)
{
	term_write_binary(w, size > 0 ? plan->names + name : "", size);
}

static void write_sized(const char *name, uint32_t size, uint8_t arity,
			struct term_writer *w)
{
	term_write_tuple(w, arity);
	term_write_atom(w, name);
	term_write_uint(w, size);
}

static void write_list(struct term_writer *w, uint32_t count)
{
	if (count > 0)
		term_write_list(w, (int)count);
}

static void write_value(struct term_writer *w, uint64_t value, bool is_signed)
{
	char term[MAX_VALUE + PUT_TERM_SLACK];
	const char *end = put_number(term, numbers_widen(value, is_signed));

	term_write_raw(w, term, (size_t)(end - term));
}

static void write_enum(const struct plan *plan, const struct plan_step *step,
		       struct term_writer *w)
{
	write_sized("enum", step->size, 3, w);
	write_list(w, step->count);
	for (uint32_t i = 0; i < step->count; i++) {
		const struct plan_constant *constant =
			&plan->constants[step->constants + i];

		term_write_tuple(w, 2);
		write_name(plan, constant->name, constant->name_size, w);
		write_value(w, constant->value, step->is_signed);
	}
	term_write_nil(w);
}

static void write_array(const struct plan *plan, const struct plan_step *step,
			struct term_writer *w)
{
	write_sized("array", step->is_flexible ? 0 : step->count, 3, w);
	write_type(plan, step + 1, w);
}

static void write_members(const struct plan *plan, const struct plan_step *of,
			  struct term_writer *w)
{
	const struct plan_step *end = plan->steps + of->next;

	write_list(w, of->count);
	for (const struct plan_step *step = of + 1; step < end;) {
		term_write_tuple(w, step->bit_size ? 4 : 3);
		write_name(plan, step->name, step->name_size, w);
		term_write_uint(w, step->bit_offset);
		if (step->bit_size)
			term_write_uint(w, step->bit_size);
		step = write_type(plan, step, w);
	}
	term_write_nil(w);
}

/* Returns the step behind it. */
static const struct plan_step *write_type(const struct plan *plan,
					  const struct plan_step *step,
					  struct term_writer *w)
{
	switch (step->kind) {
	case PLAN_CHARS:
		write_sized("char", step->size, 2, w);
		break;
	case PLAN_BYTES:
		write_sized("bytes", step->size, 2, w);
		break;
	case PLAN_ENUM:
		write_enum(plan, step, w);
		break;
	case PLAN_ARRAY:
		write_array(plan, step, w);
		break;
	case PLAN_STRUCT:
	case PLAN_UNION:
		write_sized(step->kind == PLAN_UNION ? "union" : "struct",
			    step->size, 3, w);
		write_members(plan, step, w);
		break;
	case PLAN_HIDDEN:
		term_write_atom(w, "hidden");
		break;
	default:
		term_write_atom(w, number_name(step));
	}
	return plan->steps + step->next;
}

void layout_write(const struct plan *plan, struct term_writer *w)
{
	write_type(plan, plan->steps, w);
}
