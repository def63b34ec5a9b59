/* SPDX-License-Identifier: Apache-2.0 */
/* Folds a number of all CPUs into one: integers by 192 bits, floats as doubles.
 */
#include "types/fold.h"

#include <errno.h>

#include "types/fold_internal.h"
#include "types/put_term.h"

#define MAX_GROWTH 10 /* bytes that the term of a sum takes more, at most */

int fold_check(const struct plan *plan)
{
	for (uint32_t i = 0; i < plan->step_count; i++)
		switch (plan->steps[i].kind) {
		case PLAN_UNSIGNED:
		case PLAN_SIGNED:
		case PLAN_BIG_ENDIAN:
		case PLAN_FLOAT:
		case PLAN_ARRAY:
		case PLAN_STRUCT:
		case PLAN_HIDDEN:
			break;
		default:
			return -EINVAL;
		}
	return 0;
}

/* --- Sizes -------------------------------------------------------------- */

/* At most PLAN_MAX_PARTS, so that nothing overflows. */
static size_t count_numbers(const struct plan *plan, const struct plan_step *of)
{
	const struct plan_step *end = plan->steps + of->next;
	size_t count = 0;

	if (of->next == (uint32_t)(of - plan->steps) + 1)
		return 1; /* or of an empty structure one too many */
	for (const struct plan_step *step = of + 1; step < end;
	     step = plan->steps + step->next)
		count += count_numbers(plan, step);
	return of->kind == PLAN_ARRAY ? count * of->count : count;
}

size_t fold_size(const struct plan *plan, enum plan_form form)
{
	return plan_plus(plan->steps[0].max_encoded[form],
			 count_numbers(plan, plan->steps) * MAX_GROWTH);
}

/* --- Numbers ------------------------------------------------------------ */

struct number fold_add(struct number a, struct number b)
{
	struct number sum;
	bool carry;

	carry = __builtin_add_overflow(a.low, b.low, &sum.low);
	sum.high = a.high + b.high + carry;
	carry = sum.high < a.high || (carry && sum.high == a.high);
	sum.top = a.top + b.top + carry;
	return sum;
}

static bool less(struct number a, struct number b)
{
	if (a.top != b.top)
		return (int64_t)a.top < (int64_t)b.top;
	return a.high != b.high ? a.high < b.high : a.low < b.low;
}

struct number fold_integers(const struct fold *fold,
			    const struct plan_step *step, const char *at)
{
	struct number all = numbers_read(step, at), one;

	for (unsigned cpu = 1; cpu < fold->cpus; cpu++) {
		at += fold->stride;
		one = numbers_read(step, at);
		if (fold->op == FOLD_SUM)
			all = fold_add(all, one);
		else if (fold->op == FOLD_MAX ? less(all, one) : less(one, all))
			all = one;
	}
	return all;
}

double fold_floats(const struct fold *fold, const struct plan_step *step,
		   const char *at)
{
	double all = numbers_read_float(step, at), one;

	for (unsigned cpu = 1; cpu < fold->cpus; cpu++) {
		at += fold->stride;
		one = numbers_read_float(step, at);
		if (fold->op == FOLD_SUM)
			all += one;
		else if (isnan(all) ||
			 (fold->op == FOLD_MAX ? one > all : one < all))
			all = one;
	}
	return all;
}

char *fold_put(const struct fold *fold, const struct plan_step *step,
	       const char *at, char *to)
{
	return step->kind == PLAN_FLOAT
		       ? put_float(to, fold_floats(fold, step, at))
		       : put_number(to, fold_integers(fold, step, at));
}
