/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FOLD_H
#define FOLD_H

#include <stddef.h>

#include "types/plan.h"

/*
 * The values of all CPUs as one, number by number. Sums of integers do not
 * wrap. Of floats, max and min leave out what is not a number.
 */
enum fold_op {
	FOLD_NONE, /* a list of them */
	FOLD_SUM,
	FOLD_MAX,
	FOLD_MIN,
};

struct fold {
	enum fold_op op;
	unsigned cpus; /* at least 1 */
	size_t stride; /* bytes from the value of a CPU to that of the next */
};

/* 0, or -EINVAL: there is anything but numbers in it. */
int fold_check(const struct plan *plan);

/* The most bytes of the term that decode_fold() writes; saturates. */
size_t fold_size(const struct plan *plan, enum plan_form form);

/*
 * Puts the term of one number, of which that of the first CPU is at, and
 * returns its end; there is room for FOLD_MAX_TERM bytes and the slack of
 * put_term.h. For decode.c.
 */
#define FOLD_MAX_TERM (3 + 3 * 8)
char *fold_put(const struct fold *fold, const struct plan_step *step,
	       const char *at, char *to);

#endif
