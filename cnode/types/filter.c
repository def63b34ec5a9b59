/* SPDX-License-Identifier: Apache-2.0 */
/* Which records a subscriber wants, by numbers in them. */
#include "types/filter.h"

#include "types/encode.h"
#include "types/layout_read.h"
#include "types/numbers.h"

static uint64_t read_field(const struct filter_test *test, const char *at)
{
	uint64_t number = numbers_load(at, test->size);

	if (test->big_endian)
		number = numbers_swap(number, test->size);
	return test->is_signed ? numbers_extend(number, 8u * test->size)
			       : number;
}

/* Of a plan of one step. */
static bool set_kind(struct filter_test *test, const struct plan_step *step)
{
	if (step->size > sizeof(test->value))
		return false;
	test->size = (uint8_t)step->size;
	test->is_signed = step->kind == PLAN_SIGNED;
	test->big_endian = step->kind == PLAN_BIG_ENDIAN;
	return test->is_signed || test->big_endian ||
	       step->kind == PLAN_UNSIGNED;
}

bool filter_set_number(struct filter_test *test, struct term type,
		       struct term number)
{
	char bytes[sizeof(test->value)];
	struct encode_path path;
	struct plan *plan;
	bool good;

	/* no other layout is an atom: a large one is not read */
	if (!term_is_any_atom(type) || layout_read(type, 0, &plan) < 0)
		return false;
	good = set_kind(test, &plan->steps[0]) &&
	       encode(plan, PLAN_AS_MAP, number, bytes, &path);
	if (good)
		test->value = read_field(test, bytes);
	plan_free(plan);
	return good;
}

static bool is_less(const struct filter_test *test, uint64_t a, uint64_t b)
{
	return test->is_signed ? (int64_t)a < (int64_t)b : a < b;
}

static bool holds(const struct filter_test *test, uint64_t field)
{
	switch (test->op) {
	case FILTER_EQUAL:
		return field == test->value;
	case FILTER_NOT_EQUAL:
		return field != test->value;
	case FILTER_LESS:
		return is_less(test, field, test->value);
	case FILTER_AT_MOST:
		return !is_less(test, test->value, field);
	case FILTER_MORE:
		return is_less(test, test->value, field);
	case FILTER_AT_LEAST:
		return !is_less(test, field, test->value);
	case FILTER_BITS:
		return (field & test->value) != 0;
	}
	return false;
}

bool filter_matches(const struct filter *filter, const char *record,
		    size_t size)
{
	for (unsigned i = 0; i < filter->count; i++) {
		const struct filter_test *test = &filter->tests[i];

		if (test->size > size || test->offset > size - test->size ||
		    !holds(test, read_field(test, record + test->offset)))
			return false;
	}
	return true;
}
