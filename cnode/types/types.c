/* SPDX-License-Identifier: Apache-2.0 */
/* What a view of a map knows of its types. */
#include "types/types.h"

#include <stdlib.h>

static size_t memory_of(const struct types_plans *plans)
{
	return sizeof(*plans) + plan_memory(plans->key) +
	       plan_memory(plans->value);
}

struct types_plans *types_plans_new(struct plan *key, struct plan *value,
				    struct budget *budget)
{
	struct types_plans *plans = calloc(1, sizeof(*plans));

	if (!plans) {
		plan_free(key);
		plan_free(value);
		return NULL;
	}
	atomic_init(&plans->refs, 1);
	plans->key = key;
	plans->value = value;
	plans->account.budget = budget;
	if (!budget || budget_reserve(&plans->account, memory_of(plans)))
		return plans;
	plans->account.budget = NULL;
	types_plans_unref(plans);
	return NULL;
}

struct types_plans *types_plans_ref(struct types_plans *plans)
{
	atomic_fetch_add(&plans->refs, 1);
	return plans;
}

void types_plans_unref(struct types_plans *plans)
{
	if (!plans || atomic_fetch_sub(&plans->refs, 1) > 1)
		return;
	if (plans->account.budget)
		budget_release(&plans->account, memory_of(plans));
	plan_free(plans->key);
	plan_free(plans->value);
	free(plans);
}

struct types *types_new(struct types_plans *plans)
{
	struct types *types = calloc(1, sizeof(*types));

	if (!types) {
		types_plans_unref(plans);
		return NULL;
	}
	types->plans = plans;
	types->key = plans->key;
	types->value = plans->value;
	return types;
}

void types_free(struct types *types)
{
	if (!types)
		return;
	types_plans_unref(types->plans);
	free(types->choice.members);
	free(types);
}

/* Sizes of plans saturate: what is more than any answer is all the same. */
static size_t bounded(size_t size)
{
	return size < INT32_MAX ? size : INT32_MAX;
}

static size_t most_of_value(const struct types *types)
{
	if (types->fold != FOLD_NONE)
		return fold_size(types->value, types->form);
	if (types->choice.members)
		return decode_members_size(types->form, &types->choice);
	return types->value->steps[0].max_encoded[types->form];
}

void types_measure(struct types *types)
{
	if (types->key)
		types->most_of_key =
			bounded(types->key->steps[0].max_encoded[types->form]);
	if (types->value)
		types->most_of_value = bounded(most_of_value(types));
}
