/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes a term as the bytes that a plan says, and notes the place of what does
 * not fit. The term is checked for its form alone: a peer sent it.
 */
#include "types/encode.h"

#include <string.h>

#include "types/encode_internal.h"
#include "types/numbers.h"

static bool read_part(struct encoding *e, const struct plan_step *step,
		      struct term t, char *at);

/* --- The path ----------------------------------------------------------- */

/*
 * A place for each array, structure or union around a part, so that there is
 * room for all. On success, each is left again.
 */
static void enter(struct encoding *e, struct encode_place place)
{
	e->path->places[e->path->count++] = place;
}

static void enter_name(struct encoding *e, const char *name, size_t name_size)
{
	enter(e, (struct encode_place){ .name = name, .name_size = name_size });
}

static void enter_member(struct encoding *e, const struct plan_step *step)
{
	if (step->name_size > 0)
		enter_name(e, e->plan->names + step->name, step->name_size);
}

static void leave_member(struct encoding *e, const struct plan_step *step)
{
	if (step->name_size > 0)
		e->path->count--;
}

void encode_write_path(const struct encode_path *path, struct term_writer *w)
{
	if (path->count > 0)
		term_write_list(w, (int)path->count);
	for (uint32_t i = 0; i < path->count; i++) {
		const struct encode_place *place = &path->places[i];

		if (place->name)
			term_write_binary(w, place->name, place->name_size);
		else
			term_write_uint(w, place->index);
	}
	term_write_nil(w);
}

/* --- Members given by name ---------------------------------------------- */

static const struct plan_step *step_behind(const struct encoding *e,
					   const struct plan_step *step)
{
	return e->plan->steps + step->next;
}

static uint64_t *given_word(struct encoding *e, const struct plan_step *step)
{
	return &e->given[(step - e->plan->steps) / 64];
}

static uint64_t given_bit(const struct encoding *e,
			  const struct plan_step *step)
{
	return UINT64_C(1) << (step - e->plan->steps) % 64;
}

static bool is_given(struct encoding *e, const struct plan_step *step)
{
	return *given_word(e, step) & given_bit(e, step);
}

/* Those of one element of an array are not those of the next. */
static void forget_given(struct encoding *e, const struct plan_step *of)
{
	const uint32_t *by_name = e->plan->by_name + of->by_name;

	for (uint32_t i = 0; i < of->by_name_count; i++) {
		const struct plan_step *step = &e->plan->steps[by_name[i]];

		*given_word(e, step) &= ~given_bit(e, step);
	}
}

/* What a map has of a part; each looked at once, however deep unions are. */
struct given {
	const struct plan_step *first; /* NULL: nothing is given */
	const struct plan_step *fault; /* it is missing, or one too many */
};

static struct given look_inside(struct encoding *e, const struct plan_step *of);

static struct given look_at(struct encoding *e, const struct plan_step *step)
{
	if (step->kind == PLAN_HIDDEN)
		return (struct given){ NULL, NULL };
	if (plan_is_merged(step))
		return look_inside(e, step);
	return is_given(e, step) ? (struct given){ step, NULL }
				 : (struct given){ NULL, step };
}

/* All of one alternative and nothing of another, unless none is shown. */
static struct given look_at_alternatives(struct encoding *e,
					 const struct plan_step *of)
{
	const struct plan_step *end = step_behind(e, of);
	struct given all = { NULL, NULL }, one;

	for (const struct plan_step *step = of + 1; step < end;
	     step = step_behind(e, step)) {
		one = look_at(e, step);
		if (one.first && all.first)
			return (struct given){ all.first, one.first };
		if (one.first || (!all.first && !all.fault))
			all = one;
	}
	return all;
}

static struct given look_inside(struct encoding *e, const struct plan_step *of)
{
	const struct plan_step *end = step_behind(e, of);
	struct given all = { NULL, NULL }, one;

	if (of->kind == PLAN_UNION)
		return look_at_alternatives(e, of);
	for (const struct plan_step *step = of + 1; step < end;
	     step = step_behind(e, step)) {
		one = look_at(e, step);
		if (!all.first)
			all.first = one.first;
		if (!all.fault)
			all.fault = one.fault;
	}
	return all;
}

/* Whether what is given is all that has to be. */
static bool check_given(struct encoding *e, const struct plan_step *of)
{
	struct given all = look_inside(e, of);

	if (all.fault)
		enter_member(e, all.fault);
	return !all.fault;
}

/* --- What has parts ----------------------------------------------------- */

bool encode_read_name(struct encoding *e, struct term t, const char **name,
		      size_t *size)
{
	if (term_read_binary(t, name, size) || term_read_atom(t, name, size))
		return true;
	*name = e->path->string;
	return term_read_characters(t, e->path->string, sizeof(e->path->string),
				    size);
}

/* base: bits of the structure in the one whose names it shares. */
static bool read_pair(struct encoding *e, const struct plan_step *of,
		      struct term_items *items, char *at, uint32_t *guess)
{
	const uint32_t base = of->name_size == 0 ? of->place : 0;
	const struct plan_step *step;
	struct term key, value;
	const char *name;
	size_t size;

	if (!term_next(items, &key) || !term_next(items, &value) ||
	    !encode_read_name(e, key, &name, &size))
		return false;
	step = plan_find_member(e->plan, of, name, size, guess);
	if (!step) {
		enter_name(e, name, size);
		return false;
	}
	enter_member(e, step);
	if (is_given(e, step))
		return false;
	*given_word(e, step) |= given_bit(e, step);
	if (!read_part(e, step, value, at + (step->place - base) / 8))
		return false;
	leave_member(e, step);
	return true;
}

static bool read_map(struct encoding *e, const struct plan_step *of,
		     struct term t, char *at)
{
	uint32_t guess = of->by_name;
	struct term_items items;

	if (!term_map(t, &items))
		return false;
	forget_given(e, of);
	while (items.left > 0)
		if (!read_pair(e, of, &items, at, &guess))
			return false;
	return check_given(e, of);
}

static bool read_tuple(struct encoding *e, const struct plan_step *of,
		       struct term t, char *at)
{
	const struct plan_step *end = step_behind(e, of);
	struct term_items items;
	struct term item;

	if (!term_tuple(t, &items) || items.left != of->shown[PLAN_AS_TUPLE])
		return false;
	for (const struct plan_step *step = of + 1; step < end;
	     step = step_behind(e, step)) {
		if (step->kind == PLAN_HIDDEN)
			continue;
		enter_member(e, step);
		if (!term_next(&items, &item) ||
		    !read_part(e, step, item, at + step->bit_offset / 8))
			return false;
		leave_member(e, step);
	}
	return true;
}

static bool read_array(struct encoding *e, const struct plan_step *step,
		       struct term t, char *at)
{
	const struct plan_step *element = step + 1;
	struct term_items items;
	struct term item;

	if (!term_list(t, &items) || items.left != step->count)
		return false;
	for (uint32_t i = 0; i < step->count; i++, at += element->size) {
		enter(e, (struct encode_place){ .index = i });
		if (!term_next(&items, &item) ||
		    !read_part(e, element, item, at))
			return false;
		e->path->count--;
	}
	return term_end(&items);
}

static bool read_part(struct encoding *e, const struct plan_step *step,
		      struct term t, char *at)
{
	switch (step->kind) {
	case PLAN_ARRAY:
		return read_array(e, step, t, at);
	case PLAN_UNION:
		return read_map(e, step, t, at);
	case PLAN_STRUCT:
		return e->form == PLAN_AS_TUPLE ? read_tuple(e, step, t, at)
						: read_map(e, step, t, at);
	default:
		return encode_scalar(e, step, t, at);
	}
}

bool encode(const struct plan *plan, enum plan_form form, struct term t,
	    char *bytes, struct encode_path *path)
{
	struct encoding e = { .plan = plan, .form = form, .path = path };

	path->count = 0;
	memset(bytes, 0, plan->size);
	return read_part(&e, plan->steps, t, bytes);
}
