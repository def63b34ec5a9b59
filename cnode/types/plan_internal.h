/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PLAN_INTERNAL_H
#define PLAN_INTERNAL_H

#include "types/plan.h"

/* What building takes and a finished plan does not. */
struct plan_builder {
	uint32_t open[PLAN_MAX_DEPTH]; /* steps, the innermost last */
	uint32_t depth;
	size_t text; /* bytes of names */
	uint32_t step_capacity;
	uint32_t constant_capacity;
	size_t names_capacity;
	int error; /* sticks */
};

/* Sizes saturate. */
static inline size_t plan_plus(size_t a, size_t b)
{
	size_t sum;

	return __builtin_add_overflow(a, b, &sum) ? SIZE_MAX : sum;
}

/* Bits of a part from the start of the structure that it is in. */
static inline uint64_t plan_bits(const struct plan_step *step)
{
	return step->bit_size ? step->bit_size : (uint64_t)step->size * 8;
}

static inline bool plan_has_members(const struct plan_step *step)
{
	return step->kind == PLAN_STRUCT || step->kind == PLAN_UNION;
}

/* An anonymous member, whose own members have their names in the same map. */
static inline bool plan_is_merged(const struct plan_step *step)
{
	return step->name_size == 0 && plan_has_members(step);
}

/* 0, or -EINVAL: a member is outside, or two of a structure overlap. */
int plan_check_places(const struct plan *plan, const struct plan_step *of);
/* Sorts by name. -EINVAL: one is there twice; -ENOMEM. */
int plan_index_names(struct plan *plan);

#endif
