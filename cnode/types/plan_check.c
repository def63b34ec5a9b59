/* SPDX-License-Identifier: Apache-2.0 */
/* Where the members of a structure are: inside of it, and none in another. */
#include <errno.h>
#include <stdlib.h>

#include "types/plan_internal.h"

/* The bits of a member that has any. */
struct range {
	uint64_t start;
	uint64_t end;
};

static int compare_ranges(const void *a, const void *b)
{
	const struct range *one = a, *other = b;

	return (one->start > other->start) - (one->start < other->start);
}

static bool overlap(const struct range *ranges, uint32_t count)
{
	for (uint32_t i = 1; i < count; i++)
		if (ranges[i].start < ranges[i - 1].end)
			return true;
	return false;
}

static uint32_t list_ranges(const struct plan *plan, const struct plan_step *of,
			    struct range *ranges)
{
	const struct plan_step *end = plan->steps + of->next;
	uint32_t count = 0;

	for (const struct plan_step *step = of + 1; step < end;
	     step = plan->steps + step->next) {
		const struct range range = {
			step->bit_offset, step->bit_offset + plan_bits(step)
		};

		if (range.start < range.end)
			ranges[count++] = range;
	}
	return count;
}

static int check_overlaps(const struct plan *plan, const struct plan_step *of)
{
	struct range *ranges = malloc(of->count * sizeof(*ranges));
	uint32_t count;
	bool bad;

	if (!ranges)
		return -ENOMEM;
	count = list_ranges(plan, of, ranges);
	qsort(ranges, count, sizeof(*ranges), compare_ranges);
	bad = overlap(ranges, count);
	free(ranges);
	return bad ? -EINVAL : 0;
}

/* Nearly all members stand in the order of their places: no sort is needed. */
int plan_check_places(const struct plan *plan, const struct plan_step *of)
{
	const struct plan_step *end = plan->steps + of->next;
	uint64_t reached = 0;
	bool ordered = true;

	for (const struct plan_step *step = of + 1; step < end;
	     step = plan->steps + step->next) {
		uint64_t bits = plan_bits(step);

		if (step->bit_offset + bits > plan_bits(of))
			return -EINVAL;
		if (bits > 0) {
			ordered = ordered && step->bit_offset >= reached;
			reached = step->bit_offset + bits;
		}
	}
	return ordered || of->kind == PLAN_UNION ? 0 : check_overlaps(plan, of);
}
