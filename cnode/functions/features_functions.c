/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions and options of this node:
 *
 *	features() -> #{version => binary(),
 *	                modules => #{Module => [{Function, Arity}]},
 *	                options => #{read_only, may_load, open_by_id, pin_root,
 *	                             keep, file_root,
 *	                             vmlinux_types => boolean(),
 *	                             programs => [Word of --programs],
 *	                             max_message, max_maps, grace, max_pins,
 *	                             max_maps_per_node, max_programs,
 *	                             max_subscriptions,
 *	                             max_programs_per_node =>
 *	                                 integer() | infinity}}
 *
 * Only options that change what a caller may do are reported, as they apply to
 * this caller. Folders are not named; all is reported as the words that it
 * stands for.
 */
#include <string.h>

#include "bpf/program_words.h"
#include "call/descriptions.h"
#include "config.h"
#include "functions/functions.h"
#include "functions/handlers.h"

/* One module, from *row on; moves *row to the next module. */
static void write_functions(struct term_writer *w, size_t *row,
			    struct function_name function)
{
	const char *module = function.module;
	size_t list;
	uint32_t n = 0;

	term_write_atom(w, module);
	list = term_write_list_open(w);
	do {
		term_write_tuple(w, 2);
		term_write_entry(w, function.name, function.arity);
		n++;
	} while (functions_name(++*row, &function) &&
		 function.module == module);
	term_write_list_close(w, list, n);
}

static void write_modules(struct term_writer *w)
{
	size_t map = term_write_map_open(w), row = 0;
	struct function_name function;
	uint32_t n = 0;

	for (; functions_name(row, &function); n++)
		write_functions(w, &row, function);
	term_write_map_close(w, map, n);
}

static void write_limit(struct term_writer *w, const char *name, uint32_t limit)
{
	if (limit < UINT32_MAX) {
		term_write_entry(w, name, limit);
		return;
	}
	term_write_atom(w, name);
	term_write_atom(w, "infinity");
}

static void write_programs(struct term_writer *w, uint32_t words)
{
	size_t list;
	uint32_t n = 0;

	term_write_atom(w, "programs");
	list = term_write_list_open(w);
	for (uint32_t i = 0; i < PROGRAMS_WORDS; i++)
		if (words & (1u << i)) {
			term_write_atom(w, program_words[i].name);
			n++;
		}
	term_write_list_close(w, list, n);
}

void features_functions_write_options(struct call *call)
{
	struct term_writer *w = call->out;
	const struct call_common *common = call->context->common;
	const struct call_options *options = &common->options;
	size_t map = term_write_map_open(w);

	descriptions_write_bool(w, "read_only",
				call->context->permission < PERMISSION_WRITE);
	descriptions_write_bool(w, "may_load",
				common->loader && call->context->permission >=
							  PERMISSION_LOAD);
	write_programs(w, common->program_words);
	descriptions_write_bool(w, "open_by_id", options->open_by_id);
	descriptions_write_bool(w, "pin_root", common->pin_root.path != NULL);
	descriptions_write_bool(w, "keep", options->keep);
	descriptions_write_bool(w, "file_root", common->file_root.path != NULL);
	descriptions_write_bool(w, "vmlinux_types", common->vmlinux != NULL);
	term_write_entry(w, "max_message", common->max_message);
	term_write_entry(w, "grace", options->grace);
	write_limit(w, "max_maps", options->max_maps);
	write_limit(w, "max_maps_per_node", options->max_maps_per_node);
	write_limit(w, "max_pins", common->pin_limit.max);
	term_write_entry(w, "max_programs", options->max_programs);
	write_limit(w, "max_programs_per_node", options->max_programs_per_node);
	term_write_entry(w, "max_subscriptions", options->max_subscriptions);
	term_write_map_close(w, map, 16);
}

bool features_functions_features(struct call *call)
{
	struct term_writer *w = call->out;
	size_t map = term_write_map_open(w);

	term_write_atom(w, "version");
	term_write_binary(w, PACKAGE_VERSION, strlen(PACKAGE_VERSION));
	term_write_atom(w, "modules");
	write_modules(w);
	term_write_atom(w, "options");
	features_functions_write_options(call);
	term_write_map_close(w, map, 3);
	return true;
}
