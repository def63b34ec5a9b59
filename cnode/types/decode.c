/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes bytes as the term that a plan says. What is not large is written at
 * once, by decode_put.c; the rest part by part, as what is folded.
 */
#include "types/decode.h"

#include "types/decode_internal.h"

#define AT_ONCE ((size_t)64 * 1024)
#define MAX_SCALAR FOLD_MAX_TERM /* the longest term of a number */

/* --- Part by part ------------------------------------------------------- */

static void write_part(const struct decoding *d, const struct plan_step *step,
		       const char *at, struct term_writer *w);

static void write_scalar(const struct decoding *d, const struct plan_step *step,
			 const char *at, struct term_writer *w)
{
	char term[MAX_SCALAR + PUT_TERM_SLACK];
	const char *end = d->fold ? fold_put(d->fold, step, at, term)
				  : decode_put_scalar(step, at, term);

	term_write_raw(w, term, (size_t)(end - term));
}

static void write_header(struct term_writer *w, int tag, uint32_t count)
{
	char header[PUT_HEADER_SIZE];

	put_header(header, tag, count);
	term_write_raw(w, header, sizeof(header));
}

static void write_enum(const struct decoding *d, const struct plan_step *step,
		       const char *at, struct term_writer *w)
{
	const struct plan_constant *constant =
		decode_find_value(d, step, numbers_read(step, at).low);

	if (constant)
		term_write_raw(w, decode_name_term(d, constant->name),
			       PLAN_NAME_HEADER + constant->name_size);
	else
		write_scalar(d, step, at, w);
}

static void write_array(const struct decoding *d, const struct plan_step *step,
			const char *at, struct term_writer *w)
{
	const struct plan_step *element = step + 1;

	if (step->count > 0)
		write_header(w, ERL_LIST_EXT, step->count);
	for (uint32_t i = 0; i < step->count && !w->failed; i++)
		write_part(d, element, at + (size_t)i * element->size, w);
	term_write_raw(w, (const char[]){ ERL_NIL_EXT }, 1);
}

static void write_pairs(const struct decoding *d, const struct plan_step *of,
			const char *at, struct term_writer *w)
{
	const struct plan_step *end = decode_step_behind(d, of);

	for (const struct plan_step *step = of + 1; step < end;
	     step = decode_step_behind(d, step)) {
		if (step->kind == PLAN_HIDDEN)
			continue;
		if (step->name_size == 0) {
			write_pairs(d, step, decode_part_at(step, at), w);
			continue;
		}
		term_write_raw(w, decode_name_term(d, step->name),
			       PLAN_NAME_HEADER + step->name_size);
		write_part(d, step, decode_part_at(step, at), w);
	}
}

static void write_tuple(struct term_writer *w, uint32_t arity)
{
	char header[PUT_HEADER_SIZE];

	term_write_raw(w, header, (size_t)(put_tuple(header, arity) - header));
}

static void write_members(const struct decoding *d, const struct plan_step *of,
			  const char *at, struct term_writer *w)
{
	const struct plan_step *end = decode_step_behind(d, of);

	if (of->kind == PLAN_UNION || d->form == PLAN_AS_MAP) {
		write_header(w, ERL_MAP_EXT, of->shown[PLAN_AS_MAP]);
		write_pairs(d, of, at, w);
		return;
	}
	write_tuple(w, of->shown[PLAN_AS_TUPLE]);
	for (const struct plan_step *step = of + 1; step < end;
	     step = decode_step_behind(d, step))
		if (step->kind != PLAN_HIDDEN)
			write_part(d, step, decode_part_at(step, at), w);
}

static void write_by_part(const struct decoding *d,
			  const struct plan_step *step, const char *at,
			  struct term_writer *w)
{
	switch (step->kind) {
	case PLAN_CHARS:
	case PLAN_BYTES:
		write_header(w, ERL_BINARY_EXT,
			     (uint32_t)decode_text_size(step, at));
		term_write_raw(w, at, decode_text_size(step, at));
		break;
	case PLAN_ENUM:
		write_enum(d, step, at, w);
		break;
	case PLAN_ARRAY:
		write_array(d, step, at, w);
		break;
	case PLAN_STRUCT:
	case PLAN_UNION:
		write_members(d, step, at, w);
		break;
	default:
		write_scalar(d, step, at, w);
	}
}

/* Near the writer's limit by part, too: it takes all that fits. */
static void write_part(const struct decoding *d, const struct plan_step *step,
		       const char *at, struct term_writer *w)
{
	size_t max = step->max_encoded[d->form];

	if (d->fold || max > AT_ONCE ||
	    !term_write_fits(w, max + PUT_TERM_SLACK))
		write_by_part(d, step, at, w);
	else if (term_write_reserve(w, max + PUT_TERM_SLACK))
		w->pos = (size_t)(decode_put(d, step, at, w->buf + w->pos) -
				  w->buf);
}

/* --- The whole, and some of it ------------------------------------------ */

void decode(const struct plan *plan, enum plan_form form, const char *bytes,
	    struct term_writer *w)
{
	const struct decoding d = { plan, form, NULL };

	write_part(&d, plan->steps, bytes, w);
}

void decode_fold(const struct plan *plan, enum plan_form form,
		 const struct fold *fold, const char *bytes,
		 struct term_writer *w)
{
	const struct decoding d = { plan, form, fold };

	write_part(&d, plan->steps, bytes, w);
}

const struct plan_step *decode_find(const struct plan *plan, const char *name,
				    size_t name_size)
{
	uint32_t guess = 0;

	return plan->steps[0].kind == PLAN_STRUCT
		       ? plan_find_member(plan, plan->steps, name, name_size,
					  &guess)
		       : NULL;
}

void decode_members(const struct plan *plan, enum plan_form form,
		    const struct decode_choice *choice, const char *bytes,
		    struct term_writer *w)
{
	const struct decoding d = { plan, form, NULL };

	write_tuple(w, choice->count);
	for (uint32_t i = 0; i < choice->count; i++) {
		const struct plan_step *step = choice->members[i];

		write_part(&d, step, bytes + step->place / 8, w);
	}
}

size_t decode_members_size(enum plan_form form,
			   const struct decode_choice *choice)
{
	size_t size = PUT_HEADER_SIZE;

	for (uint32_t i = 0; i < choice->count; i++)
		size = plan_plus(size, choice->members[i]->max_encoded[form]);
	return size;
}
