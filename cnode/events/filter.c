/* SPDX-License-Identifier: Apache-2.0 */
/* Which events a subscriber wants: pure, on bytes. */
#include "events/filter.h"

#include <string.h>

/* The field in the low bytes of a number, sign-extended where it is signed. */
static uint64_t read_field(const struct filter_test *test, const char *at)
{
	const unsigned unused = 64 - 8u * test->size;
	uint64_t number = 0;

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	memcpy(&number, at, test->size);
	if (test->big_endian)
		number = __builtin_bswap64(number) >> unused;
#else
	memcpy((char *)&number + sizeof(number) - test->size, at, test->size);
#endif
	return test->is_signed
		       ? (uint64_t)((int64_t)(number << unused) >> unused)
		       : number;
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
