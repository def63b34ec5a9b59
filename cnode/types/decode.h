/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DECODE_H
#define DECODE_H

#include "term/term.h"
#include "types/fold.h"
#include "types/plan.h"

/* Writes the plan->size bytes as a term. Allocates nothing but the answer. */
void decode(const struct plan *plan, enum plan_form form, const char *bytes,
	    struct term_writer *w);

/*
 * Writes the values of all CPUs, of which bytes is the first, folded into one;
 * the plan is one that fold_check() took.
 */
void decode_fold(const struct plan *plan, enum plan_form form,
		 const struct fold *fold, const char *bytes,
		 struct term_writer *w);

/* Members of the outermost structure. */
struct decode_choice {
	const struct plan_step **members;
	uint32_t count;
};

/*
 * Finds one by its name, also in anonymous structures and unions. NULL: the
 * plan is of no structure, or shows no such member.
 */
const struct plan_step *decode_find(const struct plan *plan, const char *name,
				    size_t name_size);

/* A tuple of these members; form is that of structures in them. */
void decode_members(const struct plan *plan, enum plan_form form,
		    const struct decode_choice *choice, const char *bytes,
		    struct term_writer *w);
/* The most bytes of that tuple; saturates. */
size_t decode_members_size(enum plan_form form,
			   const struct decode_choice *choice);

#endif
