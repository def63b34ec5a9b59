/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes bytes as a term where there is room for all that it can take, which is
 * nearly always: no part is looked at whether it fits.
 */
#include "types/decode_internal.h"

/* --- Scalars ------------------------------------------------------------ */

/* What most members are. */
static bool is_plain(const struct plan_step *step)
{
	return step->kind == PLAN_UNSIGNED && step->size <= 8 &&
	       !step->bit_size;
}

static char *put_plain(const struct plan_step *step, const char *at, char *to)
{
	return put_unsigned(to, numbers_load(at, step->size));
}

const struct plan_constant *decode_find_value(const struct decoding *d,
					      const struct plan_step *step,
					      uint64_t value)
{
	const struct plan_constant *all = d->plan->constants;
	const uint32_t end = step->constants + step->count;
	uint32_t low = step->constants, high = end;
	/* as unsigned numbers, signed ones are in order with this bit turned */
	uint64_t turn = (uint64_t)step->is_signed << 63;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if ((all[middle].value ^ turn) < (value ^ turn))
			low = middle + 1;
		else
			high = middle;
	}
	return low < end && all[low].value == value ? &all[low] : NULL;
}

static char *put_bool(const struct plan_step *step, const char *at, char *to)
{
	uint64_t value = numbers_load_part(step, at);

	if (value > 1)
		return put_unsigned(to, value);
	return value ? PUT_ATOM(to, "true") : PUT_ATOM(to, "false");
}

char *decode_put_scalar(const struct plan_step *step, const char *at, char *to)
{
	if (is_plain(step))
		return put_plain(step, at, to);
	switch (step->kind) {
	case PLAN_BOOL:
		return put_bool(step, at, to);
	case PLAN_FLOAT:
		return put_float(to, numbers_read_float(step, at));
	default:
		return put_number(to, numbers_read(step, at));
	}
}

/* --- What has parts ----------------------------------------------------- */

/* decode_put() saves registers that what is plain does without. */
static char *put_part(const struct decoding *d, const struct plan_step *step,
		      const char *at, char *to)
{
	return is_plain(step) ? put_plain(step, at, to)
			      : decode_put(d, step, at, to);
}

static char *put_text(const struct plan_step *step, const char *at, char *to)
{
	size_t size = decode_text_size(step, at);

	to = put_header(to, ERL_BINARY_EXT, (uint32_t)size);
	return put_bytes(to, at, size);
}

static char *put_enum(const struct decoding *d, const struct plan_step *step,
		      const char *at, char *to)
{
	struct number value = numbers_read(step, at);
	const struct plan_constant *constant =
		decode_find_value(d, step, value.low);

	return constant ? put_short(to, decode_name_term(d, constant->name),
				    PLAN_NAME_HEADER + constant->name_size)
			: put_number(to, value);
}

static char *put_array(const struct decoding *d, const struct plan_step *step,
		       const char *at, char *to)
{
	const struct plan_step *element = step + 1;

	if (step->count > 0)
		to = put_header(to, ERL_LIST_EXT, step->count);
	for (uint32_t i = 0; i < step->count; i++, at += element->size)
		to = put_part(d, element, at, to);
	*to = ERL_NIL_EXT;
	return to + 1;
}

static char *put_pairs(const struct decoding *d, const struct plan_step *of,
		       const char *at, char *to)
{
	const struct plan_step *end = decode_step_behind(d, of);

	for (const struct plan_step *step = of + 1; step < end;
	     step = decode_step_behind(d, step)) {
		if (step->kind == PLAN_HIDDEN)
			continue;
		if (step->name_size == 0) {
			to = put_pairs(d, step, decode_part_at(step, at), to);
			continue;
		}
		to = put_short(to, decode_name_term(d, step->name),
			       PLAN_NAME_HEADER + step->name_size);
		to = put_part(d, step, decode_part_at(step, at), to);
	}
	return to;
}

static char *put_members(const struct decoding *d, const struct plan_step *of,
			 const char *at, char *to)
{
	const struct plan_step *end = decode_step_behind(d, of);

	if (of->kind == PLAN_UNION || d->form == PLAN_AS_MAP) {
		to = put_header(to, ERL_MAP_EXT, of->shown[PLAN_AS_MAP]);
		return put_pairs(d, of, at, to);
	}
	to = put_tuple(to, of->shown[PLAN_AS_TUPLE]);
	for (const struct plan_step *step = of + 1; step < end;
	     step = decode_step_behind(d, step))
		if (step->kind != PLAN_HIDDEN)
			to = put_part(d, step, decode_part_at(step, at), to);
	return to;
}

char *decode_put(const struct decoding *d, const struct plan_step *step,
		 const char *at, char *to)
{
	switch (step->kind) {
	case PLAN_CHARS:
	case PLAN_BYTES:
		return put_text(step, at, to);
	case PLAN_ENUM:
		return put_enum(d, step, at, to);
	case PLAN_ARRAY:
		return put_array(d, step, at, to);
	case PLAN_STRUCT:
	case PLAN_UNION:
		return put_members(d, step, at, to);
	default:
		return decode_put_scalar(step, at, to);
	}
}
