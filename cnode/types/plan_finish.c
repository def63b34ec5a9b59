/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes a plan of what was built: the size of a flexible array, constants in
 * their order, names to find members by, and the most bytes of each term.
 */
#include <errno.h>
#include <stdlib.h>

#include "types/plan_internal.h"

#define LIST_SIZE 6 /* with its end */
#define MAP_SIZE 5
#define MAX_SMALL_ARITY 255

/* --- Flexible arrays ---------------------------------------------------- */

static struct plan_step *last_member(const struct plan *plan)
{
	struct plan_step *last = NULL;

	for (struct plan_step *step = plan->steps + 1;
	     step < plan->steps + plan->step_count;
	     step = plan->steps + step->next)
		last = step;
	return last;
}

static int resolve_flexible(struct plan *plan)
{
	struct plan_step *top = plan->steps, *array;

	if (top->kind != PLAN_STRUCT)
		return 0;
	array = last_member(plan);
	if (!array || array->kind != PLAN_ARRAY || array->count > 0)
		return 0;
	array->is_flexible = true;
	array->count = (top->size - array->bit_offset / 8) / array[1].size;
	array->size = array->count * array[1].size;
	return plan_check_places(plan, top);
}

/* --- Constants ---------------------------------------------------------- */

/* An alias was added later: so was its name. */
static int by_place(const struct plan_constant *a,
		    const struct plan_constant *b)
{
	return (a->name > b->name) - (a->name < b->name);
}

static int compare_unsigned(const void *a, const void *b)
{
	const struct plan_constant *one = a, *other = b;

	return one->value == other->value  ? by_place(one, other)
	       : one->value < other->value ? -1
					   : 1;
}

static int compare_signed(const void *a, const void *b)
{
	const struct plan_constant *one = a, *other = b;

	return one->value == other->value ? by_place(one, other)
	       : (int64_t)one->value < (int64_t)other->value ? -1
							     : 1;
}

static bool has_negative(const struct plan_constant *constants, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if ((int64_t)constants[i].value < 0)
			return true;
	return false;
}

/* An enum without negative constants is unsigned: a layout does not say. */
static void sort_constants(struct plan *plan)
{
	for (uint32_t i = 0; i < plan->step_count; i++) {
		struct plan_step *step = &plan->steps[i];
		struct plan_constant *constants;

		if (step->kind != PLAN_ENUM)
			continue;
		if (step->count == 0) {
			step->is_signed = false;
			continue;
		}
		constants = plan->constants + step->constants;
		step->is_signed =
			step->is_signed && has_negative(constants, step->count);
		qsort(constants, step->count, sizeof(*constants),
		      step->is_signed ? compare_signed : compare_unsigned);
	}
}

/* --- Sizes of terms ----------------------------------------------------- */

static size_t times(size_t a, size_t b)
{
	size_t product;

	return __builtin_mul_overflow(a, b, &product) ? SIZE_MAX : product;
}

static size_t max_integer(const struct plan_step *step)
{
	unsigned bits = (unsigned)plan_bits(step);

	if (bits <= 8 && !step->is_signed)
		return 2;
	return bits < 32 ? 5 : 3 + (bits + 7) / 8;
}

static size_t max_enum(const struct plan *plan, const struct plan_step *step)
{
	size_t max = max_integer(step);

	for (uint32_t i = 0; i < step->count; i++) {
		size_t name = plan->constants[step->constants + i].name_size +
			      (size_t)PLAN_NAME_HEADER;

		max = name > max ? name : max;
	}
	return max;
}

/* The names and terms of all members, as they stand in a map. */
static size_t max_pairs(const struct plan *plan, const struct plan_step *of,
			enum plan_form form)
{
	const struct plan_step *end = plan->steps + of->next;
	size_t max = 0;

	for (const struct plan_step *step = of + 1; step < end;
	     step = plan->steps + step->next) {
		if (step->kind == PLAN_HIDDEN)
			continue;
		if (plan_is_merged(step))
			max = plan_plus(max, max_pairs(plan, step, form));
		else
			max = plan_plus(
				max,
				plan_plus(PLAN_NAME_HEADER + step->name_size,
					  step->max_encoded[form]));
	}
	return max;
}

static size_t max_elements(const struct plan *plan, const struct plan_step *of)
{
	const struct plan_step *end = plan->steps + of->next;
	size_t max = of->shown[PLAN_AS_TUPLE] <= MAX_SMALL_ARITY ? 2 : 5;

	for (const struct plan_step *step = of + 1; step < end;
	     step = plan->steps + step->next)
		max = plan_plus(max, step->max_encoded[PLAN_AS_TUPLE]);
	return max;
}

static size_t max_of(const struct plan *plan, const struct plan_step *step,
		     enum plan_form form)
{
	switch (step->kind) {
	case PLAN_BOOL:
		return sizeof("\0\0false") - 1;
	case PLAN_FLOAT:
		return sizeof("\0\0-infinity") - 1;
	case PLAN_CHARS:
	case PLAN_BYTES:
		return (size_t)5 + step->size;
	case PLAN_ENUM:
		return max_enum(plan, step);
	case PLAN_ARRAY:
		return plan_plus(LIST_SIZE,
				 times(step->count, step[1].max_encoded[form]));
	case PLAN_UNION:
		return plan_plus(MAP_SIZE, max_pairs(plan, step, form));
	case PLAN_STRUCT:
		return form == PLAN_AS_TUPLE
			       ? max_elements(plan, step)
			       : plan_plus(MAP_SIZE,
					   max_pairs(plan, step, form));
	case PLAN_HIDDEN:
		return 0;
	default:
		return max_integer(step);
	}
}

static void count_shown(const struct plan *plan, struct plan_step *of)
{
	const struct plan_step *end = plan->steps + of->next;

	for (const struct plan_step *step = of + 1; step < end;
	     step = plan->steps + step->next) {
		if (step->kind == PLAN_HIDDEN)
			continue;
		of->shown[PLAN_AS_TUPLE]++;
		of->shown[PLAN_AS_MAP] +=
			plan_is_merged(step) ? step->shown[PLAN_AS_MAP] : 1;
	}
}

static void measure(struct plan *plan)
{
	for (uint32_t i = plan->step_count; i-- > 0;) {
		struct plan_step *step = &plan->steps[i];

		if (plan_has_members(step))
			count_shown(plan, step);
		for (enum plan_form form = 0; form < PLAN_FORMS; form++)
			step->max_encoded[form] = max_of(plan, step, form);
	}
}

/* --- Work --------------------------------------------------------------- */

/* The steps that each use of the plan takes, those of all elements. */
static size_t count_parts(const struct plan *plan, const struct plan_step *of)
{
	const struct plan_step *end = plan->steps + of->next;
	size_t parts = 0;

	for (const struct plan_step *step = of + 1; step < end;
	     step = plan->steps + step->next)
		parts = plan_plus(parts, count_parts(plan, step));
	if (of->kind == PLAN_ARRAY)
		parts = times(parts, of->count);
	return plan_plus(parts, 1);
}

/*
 * What is hidden or empty, and an alternative, takes steps but no bytes, so
 * that few of them in an array could cost as much as many bytes do.
 */
static bool is_too_much(const struct plan *plan)
{
	size_t parts = count_parts(plan, plan->steps);

	return parts > PLAN_MAX_PARTS ||
	       parts > PLAN_MAX_STEPS + (size_t)PLAN_BYTE_PARTS * plan->size;
}

/* --- The whole ---------------------------------------------------------- */

/* Gives back what was not needed; the names keep their slack. */
static void *shrink(void *array, size_t size)
{
	void *smaller = size > 0 ? realloc(array, size) : NULL;

	return smaller ? smaller : array;
}

static void drop_builder(struct plan *plan)
{
	free(plan->builder);
	plan->builder = NULL;
	plan->steps =
		shrink(plan->steps, plan->step_count * sizeof(*plan->steps));
	plan->constants =
		shrink(plan->constants,
		       plan->constant_count * sizeof(*plan->constants));
	if (plan->names)
		plan->names =
			shrink(plan->names, plan->names_size + PLAN_NAME_SLACK);
}

static int finish(struct plan *plan, uint32_t size)
{
	const struct plan_builder *builder = plan->builder;
	int error = builder->error;

	if (error < 0)
		return error;
	if (builder->depth > 0 || plan->step_count == 0)
		return -EINVAL;
	plan->size = plan->steps[0].size;
	if (plan->size == 0 || (size > 0 && plan->size != size))
		return -EINVAL;
	error = resolve_flexible(plan);
	if (error < 0)
		return error;
	if (is_too_much(plan))
		return -E2BIG;
	sort_constants(plan);
	error = plan_index_names(plan);
	if (error < 0)
		return error;
	measure(plan);
	drop_builder(plan);
	return 0;
}

int plan_end(struct plan *made, int error, uint32_t size, struct plan **plan)
{
	if (error == 0)
		error = finish(made, size);
	if (error < 0)
		plan_free(made);
	else
		*plan = made;
	return error;
}
