/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DECODE_INTERNAL_H
#define DECODE_INTERNAL_H

#include "types/decode.h"
#include "types/put_term.h"

struct decoding {
	const struct plan *plan;
	enum plan_form form;
	const struct fold *fold; /* NULL: bytes are one value */
};

static inline const char *decode_part_at(const struct plan_step *step,
					 const char *bytes)
{
	return bytes + step->bit_offset / 8;
}

static inline const struct plan_step *
decode_step_behind(const struct decoding *d, const struct plan_step *step)
{
	return d->plan->steps + step->next;
}

/* The term of a name; the plan has slack behind the last one. */
static inline const char *decode_name_term(const struct decoding *d,
					   uint32_t name)
{
	return d->plan->names + name - PLAN_NAME_HEADER;
}

static inline size_t decode_text_size(const struct plan_step *step,
				      const char *at)
{
	return step->kind == PLAN_CHARS ? strnlen(at, step->size) : step->size;
}

/* The first constant of that value; NULL: there is none. */
const struct plan_constant *decode_find_value(const struct decoding *d,
					      const struct plan_step *step,
					      uint64_t value);

/*
 * Writes a part where there is room for step->max_encoded bytes, and behind
 * them for PUT_TERM_SLACK; returns the end of its term.
 */
char *decode_put(const struct decoding *d, const struct plan_step *step,
		 const char *at, char *to);
/* One that is no text, no enum, and has no parts. */
char *decode_put_scalar(const struct plan_step *step, const char *at, char *to);

#endif
