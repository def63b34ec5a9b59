/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FILTER_H
#define FILTER_H

#include "term/term.h"

#define FILTER_MAX 8 /* comparisons */

enum filter_op {
	FILTER_EQUAL,
	FILTER_NOT_EQUAL,
	FILTER_LESS,
	FILTER_AT_MOST,
	FILTER_MORE,
	FILTER_AT_LEAST,
	FILTER_BITS, /* some of these bits are set */
};

/* Compares a field of a record with a number. */
struct filter_test {
	uint32_t offset; /* bytes */
	uint8_t size;    /* 1, 2, 4 or 8 bytes */
	bool is_signed;
	bool big_endian;
	enum filter_op op;
	uint64_t value; /* sign-extended where the field is signed */
};

/* All of them must hold. */
struct filter {
	struct filter_test tests[FILTER_MAX];
	unsigned count;
};

/*
 * Sets the kind of the field, and the number. False: type is not the layout of
 * an integer of up to 8 bytes, or the number is not one of those.
 */
bool filter_set_number(struct filter_test *test, struct term type,
		       struct term number);

/* A field that a record is too short for compares to nothing. */
bool filter_matches(const struct filter *filter, const char *record,
		    size_t size);

#endif
