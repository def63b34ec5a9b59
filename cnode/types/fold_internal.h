/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FOLD_INTERNAL_H
#define FOLD_INTERNAL_H

#include "types/fold.h"
#include "types/numbers.h"

/* For the files of this folder: a number of all CPUs before it is a term. */
struct number fold_integers(const struct fold *fold,
			    const struct plan_step *step, const char *at);
double fold_floats(const struct fold *fold, const struct plan_step *step,
		   const char *at);

/* Of 192 bits, so that no sum of numbers of 128 bits wraps. */
struct number fold_add(struct number a, struct number b);

#endif
