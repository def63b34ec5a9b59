/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TYPES_H
#define TYPES_H

#include <stdatomic.h>

#include "base/budget.h"
#include "types/decode.h"
#include "types/fold.h"
#include "types/plan.h"

/* The plans of keys and values, shared by views of one map. */
struct types_plans {
	atomic_uint refs;
	struct plan *key; /* NULL: the map has no keys */
	struct plan *value;
	struct account account; /* they outlive the connection that made them */
};

/* How one view of a map shows them. */
struct types {
	struct types_plans *plans;
	/* what is a term of its plan; NULL: it has terms of its own, as the
	   name of an object */
	const struct plan *key;
	const struct plan *value;
	enum plan_form form;
	enum fold_op fold;
	struct decode_choice choice; /* these alone; no members: all */
	size_t most_of_key;          /* bytes in an answer */
	size_t most_of_value;        /* of one CPU, or folded */
};

/*
 * Takes over the plans, even on failure. NULL: no memory, or none within the
 * budget; without one nothing is counted.
 */
struct types_plans *types_plans_new(struct plan *key, struct plan *value,
				    struct budget *budget);
struct types_plans *types_plans_ref(struct types_plans *plans);
void types_plans_unref(struct types_plans *plans); /* takes NULL */

/* Of all of these plans as terms; takes over a reference. NULL: no memory. */
struct types *types_new(struct types_plans *plans);
void types_free(struct types *types); /* takes NULL */

/* Whether not all of a value is there: it can only be read. */
static inline bool types_are_partial(const struct types *types)
{
	return types->fold != FOLD_NONE || types->choice.members;
}

/* Once the rest is set. */
void types_measure(struct types *types);

#endif
