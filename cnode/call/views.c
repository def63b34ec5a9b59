/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes a map a view, whose keys and values are terms:
 *
 *	Option = {types, btf | {KeyLayout, ValueLayout}}
 *	       | {as, map | tuple | [Member :: binary() | atom() | string()]}
 *	       | {percpu, list | sum | max | min}
 *
 * KeyLayout is 0 for a map without keys; a whole layout may also be that of
 * call/vmlinux_types.c. With as a list, or percpu other than
 * list, a view is read-only; both together, and percpu other than list of a map
 * that has no value for each CPU, are badarg. Keys and values that name objects
 * stay as values.c has them, whatever their layout.
 */
#include "call/views.h"

#include <bpf/btf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/budget.h"
#include "bpf/kernel_btf.h"
#include "call/vmlinux_types.h"
#include "types/btf_read.h"
#include "types/layout_read.h"
#include "types/layout_write.h"

#define INDEX_SIZE 4
#define MEMBER_SIZE 1024 /* bytes of a name, with its NUL */

/* They count as buffers do, but outlive the connection. */
static struct budget *budget_of(const struct call *call)
{
	return call->context->account ? call->context->account->budget : NULL;
}

/* --- Plans of layouts ----------------------------------------------------- */

static bool have_layouts(const struct view_options *options)
{
	return options->types.size > 0 && !term_is_atom(options->types, "btf");
}

/* False: an exception was raised. size 0: any. */
static bool read_layout(struct call *call, struct term t, uint32_t size,
			struct plan **plan, int *error)
{
	struct term name;

	*plan = NULL;
	if (vmlinux_types_named(t, &name))
		return vmlinux_types_read(call, name, size, plan, error);
	*error = layout_read(t, size, plan);
	return *error != -EINVAL || raise_reason(call, RAISED_BADARG);
}

static bool is_zero(struct term t)
{
	uint32_t number;

	return term_read_uint32(t, &number) && number == 0;
}

bool views_read_layouts(struct call *call, const struct term layouts[2],
			const struct map *map, struct types_plans **plans,
			int *error)
{
	struct plan *key = NULL, *value = NULL;
	bool keys = !is_zero(layouts[0]);
	bool good = !map || keys == (map->key_size > 0) ||
		    raise_reason(call, RAISED_BADARG);

	*error = 0;
	if (good && keys)
		good = read_layout(call, layouts[0], map ? map->key_size : 0,
				   &key, error);
	if (good && *error == 0)
		good = read_layout(call, layouts[1], map ? map->value_size : 0,
				   &value, error);
	if (!good || *error != 0) {
		plan_free(key);
		plan_free(value);
		return good;
	}
	*plans = types_plans_new(key, value, budget_of(call));
	return *plans || raise_no_memory(call);
}

/* --- Plans of BTF --------------------------------------------------------- */

/* A part without a type of its own: an index, or just bytes. */
static int plan_untyped(uint32_t size, struct plan **plan)
{
	const struct plan_part part = {
		.kind = size == INDEX_SIZE ? PLAN_UNSIGNED : PLAN_BYTES,
		.size = size,
	};
	struct plan *made = plan_new();

	return plan_end(made, made ? plan_add(made, &part) : -ENOMEM, size,
			plan);
}

static int plan_typed(const struct btf *btf, uint32_t type, uint32_t size,
		      struct plan **plan)
{
	if (size == 0)
		return 0;
	return type > 0 ? btf_read(btf, type, size, plan)
			: plan_untyped(size, plan);
}

int views_read_btf(struct call *call, const struct map *map,
		   const struct map_info *info, const struct btf *btf,
		   struct types_plans **plans)
{
	struct plan *key = NULL, *value = NULL;
	int error = plan_typed(btf, info->btf_key_type, map->key_size, &key);

	if (error == 0)
		error = plan_typed(btf, info->btf_value_type, map->value_size,
				   &value);
	if (error < 0) {
		plan_free(key);
		return error;
	}
	*plans = types_plans_new(key, value, budget_of(call));
	return *plans ? 0 : -ENOMEM;
}

int views_open_btf(struct call *call, const struct map *map,
		   struct types_plans **plans)
{
	struct map_info info;
	struct btf *btf;
	int error = map_get_info(map, &info);

	if (error < 0)
		return error;
	if (info.btf_id == 0 ||
	    (info.btf_key_type == 0 && info.btf_value_type == 0))
		return VIEWS_NOTYPE;
	error = kernel_btf_open(info.btf_id, &btf);
	if (error < 0)
		return error;
	error = views_read_btf(call, map, &info, btf, plans);
	btf__free(btf);
	return error;
}

/* --- The form ------------------------------------------------------------- */

static const struct plan_step *find_member(const struct types *types,
					   struct term name)
{
	char text[MEMBER_SIZE];
	const char *bytes = text;
	size_t size = 0;

	if (!term_read_binary(name, &bytes, &size)) {
		if (!term_read_text(name, text, sizeof(text)))
			return NULL;
		size = strlen(text);
	}
	return decode_find(types->value, bytes, size);
}

/* -EINVAL: it has no such member; -E2BIG: more than a tuple holds. */
static int read_members(struct types *types, struct term list)
{
	struct decode_choice *choice = &types->choice;
	struct term_items items;
	struct term item;

	if (!types->value || !term_list(list, &items) || items.left == 0)
		return -EINVAL;
	if (items.left > UINT8_MAX)
		return -E2BIG;
	choice->members = calloc(items.left, sizeof(struct plan_step *));
	if (!choice->members)
		return -ENOMEM;
	while (term_next(&items, &item)) {
		const struct plan_step *member = find_member(types, item);

		if (!member)
			return -EINVAL;
		choice->members[choice->count++] = member;
	}
	return term_end(&items) ? 0 : -EINVAL;
}

static int read_form(struct types *types, struct term as)
{
	types->form = PLAN_AS_MAP;
	if (as.size == 0 || term_is_atom(as, "map"))
		return 0;
	if (!term_is_atom(as, "tuple"))
		return read_members(types, as);
	types->form = PLAN_AS_TUPLE;
	return 0;
}

static int read_fold(struct types *types, unsigned traits, struct term percpu)
{
	static const char *const names[] = {
		[FOLD_SUM] = "sum", [FOLD_MAX] = "max", [FOLD_MIN] = "min"
	};

	if (percpu.size == 0 || term_is_atom(percpu, "list"))
		return 0;
	for (enum fold_op op = FOLD_SUM; op <= FOLD_MIN; op++)
		if (term_is_atom(percpu, names[op]))
			types->fold = op;
	return types->fold != FOLD_NONE && types->value &&
			       !types->choice.members && traits & MAP_PER_CPU
		       ? fold_check(types->value)
		       : -EINVAL;
}

/* --- Making --------------------------------------------------------------- */

/* Those that name objects have terms of their own: values.c. */
static void leave_objects(struct types *types, unsigned traits)
{
	if (traits & MAP_KEY_IS_FD)
		types->key = NULL;
	if (traits & (MAP_VALUE_IS_FD | MAP_VALUE_IS_MAP))
		types->value = NULL;
}

struct types *views_read(const struct view_options *options,
			 struct types_plans *plans, unsigned traits, int *error)
{
	struct types *types = types_new(plans);

	*error = types ? 0 : -ENOMEM;
	if (!types)
		return NULL;
	leave_objects(types, traits);
	*error = read_form(types, options->as);
	if (*error == 0)
		*error = read_fold(types, traits, options->percpu);
	if (*error == 0)
		return types;
	types_free(types);
	return NULL;
}

static bool raise_wrong(struct call *call, int error)
{
	return error != -EINVAL || raise_reason(call, RAISED_BADARG);
}

bool views_check(struct call *call, const struct view_options *options,
		 struct types_plans *plans, unsigned traits, int *error)
{
	types_free(views_read(options, plans, traits, error));
	return raise_wrong(call, *error);
}

int views_set(const struct view_options *options, struct types_plans *plans,
	      struct map *map)
{
	int error;
	struct types *types = views_read(options, plans, map->traits, &error);

	if (!types)
		return error;
	types_measure(types);
	map->types = types;
	map->free_types = types_free;
	map->resource.is_view = true;
	return 0;
}

bool views_make_of(struct call *call, const struct view_options *options,
		   struct types_plans *plans, struct map *map, int *error)
{
	*error = views_set(options, plans, map);
	return raise_wrong(call, *error);
}

int views_plans_of(struct call *call, const struct map *map,
		   struct types_plans **plans)
{
	if (!map->types)
		return views_open_btf(call, map, plans);
	*plans = types_plans_ref(map->types->plans);
	return 0;
}

/* {KeyLayout, ValueLayout}, or those of a view, or BTF. */
static bool find_plans(struct call *call, const struct view_options *options,
		       const struct map *map, struct types_plans **plans,
		       int *error)
{
	struct term layouts[2];

	*error = 0;
	if (have_layouts(options))
		return term_tuple_of(options->types, layouts, 2)
			       ? views_read_layouts(call, layouts, map, plans,
						    error)
			       : raise_reason(call, RAISED_BADARG);
	*error = options->types.size == 0 ? views_plans_of(call, map, plans)
					  : views_open_btf(call, map, plans);
	return true;
}

bool views_make(struct call *call, const struct view_options *options,
		const struct map *like, struct map *map, int *error)
{
	struct types_plans *plans = NULL;

	if (!find_plans(call, options, like ? like : map, &plans, error))
		return false;
	return *error != 0 || views_make_of(call, options, plans, map, error);
}

bool views_write_error(struct call *call, int error)
{
	return error == VIEWS_NOTYPE ? call_write_notype(call)
				     : call_write_error(call, error);
}

/* --- Types as terms ------------------------------------------------------- */

static void write_layout(struct call *call, const struct plan *plan)
{
	if (plan)
		layout_write(plan, call->out);
	else
		term_write_uint(call->out, 0);
}

void views_write_layouts(struct call *call, const struct types_plans *plans)
{
	term_write_tuple(call->out, 2);
	write_layout(call, plans->key);
	write_layout(call, plans->value);
}
