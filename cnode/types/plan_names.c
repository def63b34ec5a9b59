/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of a plan, sorted: each of a structure, with those of its anonymous
 * members, and each of an enum is there once, and is found in a few steps.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "types/plan_internal.h"

struct name {
	const char *text;
	uint32_t size;
	uint32_t index; /* of the step or constant */
};

/* As Erlang compares binaries, so that its maps have them in that order. */
static int compare(const char *a, size_t a_size, const char *b, size_t b_size)
{
	int order = memcmp(a, b, a_size < b_size ? a_size : b_size);

	return order ? order : (a_size > b_size) - (a_size < b_size);
}

static int compare_names(const void *a, const void *b)
{
	const struct name *one = a, *other = b;

	return compare(one->text, one->size, other->text, other->size);
}

static bool sort(struct name *names, uint32_t count, uint32_t *indexes)
{
	qsort(names, count, sizeof(*names), compare_names);
	for (uint32_t i = 0; i < count; i++) {
		if (i > 0 && compare_names(&names[i - 1], &names[i]) == 0)
			return false;
		indexes[i] = names[i].index;
	}
	return true;
}

/* --- Members ------------------------------------------------------------ */

#define NOT_YET UINT32_MAX

/* Where the names of one structure are gathered. */
struct gathering {
	struct plan *plan;
	struct name *names;
	uint32_t count;
	uint32_t by_name;
};

/* base: where it is in the structure whose names it shares. */
static void gather(struct gathering *g, struct plan_step *of, uint32_t base)
{
	struct plan *plan = g->plan;
	struct plan_step *end = plan->steps + of->next;

	of->by_name = g->by_name;
	for (struct plan_step *step = of + 1; step < end;
	     step = plan->steps + step->next) {
		step->place = base + step->bit_offset;
		if (step->name_size > 0)
			g->names[g->count++] =
				(struct name){ plan->names + step->name,
					       step->name_size,
					       (uint32_t)(step - plan->steps) };
		else if (plan_has_members(step))
			gather(g, step, step->place);
	}
}

static void set_count(const struct plan *plan, struct plan_step *of,
		      uint32_t count)
{
	struct plan_step *end = plan->steps + of->next;

	of->by_name_count = count;
	for (struct plan_step *step = of + 1; step < end;
	     step = plan->steps + step->next)
		if (plan_is_merged(step))
			set_count(plan, step, count);
}

/* A structure stands before its members, so what was reached has its names. */
static bool index_members(struct plan *plan, struct name *names)
{
	uint32_t total = 0;

	for (uint32_t i = 0; i < plan->step_count; i++)
		plan->steps[i].by_name = NOT_YET;
	for (uint32_t i = 0; i < plan->step_count; i++) {
		struct gathering g = { plan, names, 0, total };
		struct plan_step *step = &plan->steps[i];

		if (!plan_has_members(step) || step->by_name != NOT_YET)
			continue;
		gather(&g, step, 0);
		set_count(plan, step, g.count);
		if (!sort(names, g.count, plan->by_name + total))
			return false;
		total += g.count;
	}
	return true;
}

/* --- Constants ---------------------------------------------------------- */

static bool index_constants(struct plan *plan, struct name *names)
{
	for (uint32_t i = 0; i < plan->step_count; i++) {
		const struct plan_step *step = &plan->steps[i];

		if (step->kind != PLAN_ENUM || step->count == 0)
			continue;
		for (uint32_t k = 0; k < step->count; k++) {
			const struct plan_constant *constant =
				&plan->constants[step->constants + k];

			names[k] = (struct name){ plan->names + constant->name,
						  constant->name_size,
						  step->constants + k };
		}
		if (!sort(names, step->count,
			  plan->constants_by_name + step->constants))
			return false;
	}
	return true;
}

int plan_index_names(struct plan *plan)
{
	size_t steps = plan->step_count, constants = plan->constant_count;
	struct name *names = calloc(steps + constants, sizeof(*names));
	int error = -ENOMEM;

	plan->by_name = calloc(steps, sizeof(*plan->by_name));
	if (constants > 0)
		plan->constants_by_name =
			calloc(constants, sizeof(*plan->constants_by_name));
	if (names && plan->by_name &&
	    (constants == 0 || plan->constants_by_name))
		error = index_members(plan, names) &&
					index_constants(plan, names)
				? 0
				: -EINVAL;
	free(names);
	return error;
}

/* --- Finding ------------------------------------------------------------ */

static bool is_shown(const struct plan *plan, const struct plan_step *of,
		     uint32_t index)
{
	return plan->steps + index > of && index < of->next &&
	       plan->steps[index].kind != PLAN_HIDDEN;
}

static bool is_named(const struct plan *plan, uint32_t index, const char *name,
		     size_t name_size)
{
	const struct plan_step *step = &plan->steps[index];

	return step->name_size == name_size &&
	       memcmp(plan->names + step->name, name, name_size) == 0;
}

const struct plan_step *plan_find_member(const struct plan *plan,
					 const struct plan_step *of,
					 const char *name, size_t name_size,
					 uint32_t *guess)
{
	uint32_t low = of->by_name, high = low + of->by_name_count;
	uint32_t middle = *guess;

	if (middle < low || middle >= high ||
	    !is_named(plan, plan->by_name[middle], name, name_size)) {
		while (low < high) {
			const struct plan_step *step;

			middle = low + (high - low) / 2;
			step = &plan->steps[plan->by_name[middle]];
			if (compare(plan->names + step->name, step->name_size,
				    name, name_size) < 0)
				low = middle + 1;
			else
				high = middle;
		}
		middle = low;
		if (middle == of->by_name + of->by_name_count ||
		    !is_named(plan, plan->by_name[middle], name, name_size))
			return NULL;
	}
	*guess = middle + 1;
	return is_shown(plan, of, plan->by_name[middle])
		       ? &plan->steps[plan->by_name[middle]]
		       : NULL;
}

const struct plan_constant *plan_find_constant(const struct plan *plan,
					       const struct plan_step *of,
					       const char *name,
					       size_t name_size)
{
	uint32_t low = of->constants, high = low + of->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		const struct plan_constant *constant =
			&plan->constants[plan->constants_by_name[middle]];
		int order = compare(plan->names + constant->name,
				    constant->name_size, name, name_size);

		if (order == 0)
			return constant;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}
