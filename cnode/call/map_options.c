/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the options of new/5 and open/2; its callers know which ones apply:
 *
 *	[Flag :: atom() | {Option :: atom(), Value}]
 */
#include "call/map_options.h"

#include <linux/bpf.h>
#include <string.h>

#include "bpf/map_rules.h"

static bool read_flag(struct term t, uint32_t *all)
{
	struct map_rules_flag flag;

	for (size_t i = 0; map_rules_flag(i, &flag); i++) {
		if (term_is_atom(t, flag.name)) {
			*all |= flag.flag;
			return true;
		}
	}
	return false;
}

/* --- Options with a value: false with an exception raised ---------------- */

bool map_options_read_name(struct term t, char name[MAP_NAME_SIZE], bool *valid)
{
	char text[MAXATOMLEN_UTF8];
	const char *bytes;
	size_t size;

	*valid = term_read_text(t, text, sizeof(text)) &&
		 strlen(text) < MAP_NAME_SIZE;
	if (*valid)
		memcpy(name, text, strlen(text) + 1);
	return *valid || term_is_any_atom(t) ||
	       term_read_binary(t, &bytes, &size) || term_is_characters(t);
}

static bool read_name(struct call *call, struct term t,
		      struct map_options *options)
{
	options->named = true;
	return map_options_read_name(t, options->spec.name,
				     &options->name_is_valid) ||
	       raise_reason(call, RAISED_BADARG);
}

static bool read_inner_map(struct call *call, struct term t,
			   struct map_options *options)
{
	if (!call_read_value_map(call, t))
		return false;
	options->spec.inner = call->value_map;
	return true;
}

static bool read_map_extra(struct call *call, struct term t,
			   struct map_options *options)
{
	return term_read_uint64(t, &options->spec.extra) ||
	       raise_reason(call, RAISED_BADARG);
}

static bool read_numa_node(struct call *call, struct term t,
			   struct map_options *options)
{
	options->spec.flags |= BPF_F_NUMA_NODE;
	return term_read_uint32(t, &options->spec.numa_node) ||
	       raise_reason(call, RAISED_BADARG);
}

static bool read_flags(struct call *call, struct term t,
		       struct map_options *options)
{
	uint32_t number;

	if (!term_read_uint32(t, &number))
		return raise_reason(call, RAISED_BADARG);
	options->spec.flags |= number;
	return true;
}

static bool read_lifetime(struct call *call, struct term t,
			  struct map_options *options)
{
	return call_read_lifetime(call, t, &options->lifetime);
}

/* Read once the map is open. */
static bool read_types(struct call *call, struct term t,
		       struct map_options *options)
{
	(void)call;
	options->view.types = t;
	return true;
}

static bool read_as(struct call *call, struct term t,
		    struct map_options *options)
{
	(void)call;
	options->view.as = t;
	return true;
}

static bool read_percpu(struct call *call, struct term t,
			struct map_options *options)
{
	(void)call;
	options->view.percpu = t;
	return true;
}

static const struct {
	const char *name;
	bool (*read)(struct call *call, struct term t,
		     struct map_options *options);
} pairs[] = {
	{ "name", read_name },           { "inner_map", read_inner_map },
	{ "map_extra", read_map_extra }, { "numa_node", read_numa_node },
	{ "flags", read_flags },         { "lifetime", read_lifetime },
	{ "types", read_types },         { "as", read_as },
	{ "percpu", read_percpu },
};

/* --- The list ----------------------------------------------------------- */

static bool read_pair(struct call *call, const struct term pair[2],
		      struct map_options *options)
{
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		if (term_is_atom(pair[0], pairs[i].name))
			return pairs[i].read(call, pair[1], options);
	return raise_reason(call, RAISED_BADARG);
}

bool map_options_read(struct call *call, struct term list,
		      struct map_options *options)
{
	struct term_items items;
	struct term item, pair[2];

	if (!term_list(list, &items))
		return raise_reason(call, RAISED_BADARG);
	while (term_next(&items, &item)) {
		if (read_flag(item, &options->spec.flags))
			continue;
		if (!term_tuple_of(item, pair, 2))
			return raise_reason(call, RAISED_BADARG);
		if (!read_pair(call, pair, options))
			return false;
	}
	return term_end(&items) || raise_reason(call, RAISED_BADARG);
}

/* --- new and check -------------------------------------------------------- */

static bool read_type(struct term t, uint32_t *type)
{
	const char *name;

	for (*type = 0; (name = map_type_name(*type)); (*type)++)
		if (term_is_atom(t, name))
			return true;
	return false;
}

/* Both are sizes, or both layouts; that of no keys is 0. */
static bool read_sizes(struct call *call, struct map_options *options,
		       int *error)
{
	struct map_spec *spec = &options->spec;

	if (term_read_uint32(call->args[2], &spec->value_size))
		return term_read_uint32(call->args[1], &spec->key_size) ||
		       raise_reason(call, RAISED_BADARG);
	if (!views_read_layouts(call, &call->args[1], NULL, &options->plans,
				error))
		return false;
	if (*error == 0) {
		spec->key_size =
			options->plans->key ? options->plans->key->size : 0;
		spec->value_size = options->plans->value->size;
	}
	return true;
}

/* Its types are its layouts. */
static bool read_new_options(struct call *call, struct map_options *options)
{
	const struct view_options *view = &options->view;

	if (call->arity == 5 && !map_options_read(call, call->args[4], options))
		return false;
	return (options->plans ? view->types.size == 0
			       : !views_are_wanted(view)) ||
	       raise_reason(call, RAISED_BADARG);
}

bool map_options_read_new(struct call *call, struct map_options *options,
			  int *error)
{
	struct map_spec *spec = &options->spec;

	*error = 0;
	*options = (struct map_options){ .name_is_valid = true,
					 .lifetime = HANDLES_NODE };
	if (!read_type(call->args[0], &spec->type) ||
	    !term_read_uint32(call->args[3], &spec->max_entries))
		return raise_reason(call, RAISED_BADARG);
	if (!read_sizes(call, options, error))
		return false;
	if (*error != 0)
		return true;
	if (!read_new_options(call, options)) {
		types_plans_unref(options->plans);
		return false;
	}
	map_rules_complete(spec);
	return true;
}
