/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options of load/2 and load/3:
 *
 *	Options      = [{programs, [Name]} | {maps, #{Name => Map}}
 *	             |  {max_entries | value_size, #{Name => integer()}}
 *	             |  {variables, #{Name => integer() | binary()}}
 *	             |  {program_types, #{Name => Type :: atom()}}
 *	             |  {attach_to, #{Name => Name}} | {name, Name}
 *	             |  {lifetime, node | process | permanent}
 *	             |  {pin, Path} | {log, 0..2}
 *	             |  {types, btf} | {as, map | tuple}]
 *	Instructions = [{maps, [Map]} | {license, Name}
 *	             |  {attach_type, atom() | integer()} | {attach_to, Name}
 *	             |  {name, Name} | sleepable | {lifetime, _} | {log, 0..2}]
 *	Name         = binary() | atom() | string()
 *	Map          = ebpf_map() | locator()
 *
 * An option with names may be given several times, but only once for each name;
 * the others once. Whether the object has what they name, the loader finds out.
 */
#include "call/load_options.h"

#include <stdlib.h>
#include <string.h>

#include "bpf/link.h"
#include "call/load_names.h"

#define MAX_LOG 2
#define MAX_TYPES 256 /* of attachments */
#define OBJECT_NAME_SIZE 64
#define LICENSE_SIZE 128

/* --- Options without names ------------------------------------------------ */

static bool read_programs(struct load_reading *reading, struct term t)
{
	char name[LOADER_NAME_SIZE];
	struct term_items items;
	struct term item;

	if (!term_list(t, &items))
		return loading_wrong(reading->call, "programs is not a list");
	if (items.left == 0)
		loading_add_number(&reading->options->loading,
				   LOADER_O_NO_PROGRAMS, 0);
	while (term_next(&items, &item)) {
		if (!load_names_read(reading, item, name))
			return false;
		load_names_add_number(reading, name, 0);
	}
	return term_end(&items) || raise_reason(reading->call, RAISED_BADARG);
}

static bool read_maps(struct load_reading *reading, struct term t)
{
	struct term_items items;
	struct term item;

	if (!term_list(t, &items))
		return loading_wrong(reading->call, "maps is not a list");
	while (term_next(&items, &item))
		if (!load_names_map(reading, NULL, item))
			return false;
	return term_end(&items) || raise_reason(reading->call, RAISED_BADARG);
}

static bool read_text(struct load_reading *reading, struct term t)
{
	char text[LOADER_NAME_SIZE];

	if (!term_read_text(t, text, reading->row->size) || !*text)
		return loading_wrong(
			reading->call, "%s is not a text of 1 to %zu bytes",
			reading->row->name, reading->row->size - 1);
	load_names_add_text(reading, NULL, text);
	return true;
}

/* The kernel takes it as it is; of that of an object libbpf makes one. */
static bool read_program_name(struct load_reading *reading, struct term t)
{
	static const char characters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
					 "abcdefghijklmnopqrstuvwxyz"
					 "0123456789_.";
	char text[LOADER_NAME_SIZE];

	if (term_read_text(t, text, reading->row->size) &&
	    text[strspn(text, characters)])
		return loading_wrong(reading->call,
				     "name has others than letters, digits, _ "
				     "and .");
	return read_text(reading, t);
}

static bool read_attach_type(struct load_reading *reading, struct term t)
{
	const char *name;
	uint32_t type;

	if (term_read_uint32(t, &type)) {
		load_names_add_number(reading, NULL, type);
		return true;
	}
	for (type = 0; type < MAX_TYPES; type++) {
		name = link_attach_type_name(type);
		if (!name || !term_is_atom(t, name))
			continue;
		load_names_add_number(reading, NULL, type);
		return true;
	}
	return loading_wrong(reading->call,
			     "attach_type is neither a number nor a name that "
			     "libbpf has for one");
}

static bool read_sleepable(struct load_reading *reading, struct term t)
{
	(void)t;
	load_names_add_number(reading, NULL, 0);
	return true;
}

static bool read_lifetime(struct load_reading *reading, struct term t)
{
	return call_read_lifetime(reading->call, t,
				  &reading->options->lifetime);
}

static bool read_log(struct load_reading *reading, struct term t)
{
	uint32_t level;

	if (!term_read_uint32(t, &level) || level > MAX_LOG)
		return loading_wrong(reading->call, "log is none of 0, 1, 2");
	reading->options->log = level;
	load_names_add_number(reading, NULL, level);
	return true;
}

static bool read_pin(struct load_reading *reading, struct term t)
{
	return call_read_path(reading->call, t, reading->options->pin);
}

static bool read_types(struct load_reading *reading, struct term t)
{
	reading->options->view.types = t;
	return term_is_atom(t, "btf") ||
	       loading_wrong(reading->call, "types is not btf");
}

static bool read_as(struct load_reading *reading, struct term t)
{
	reading->options->view.as = t;
	return term_is_atom(t, "map") || term_is_atom(t, "tuple") ||
	       loading_wrong(reading->call, "as is neither map nor tuple");
}

/* --- All ------------------------------------------------------------------ */

static const struct load_row of_object[] = {
	{ .name = "programs", .kind = LOADER_O_PROGRAM, .read = read_programs },
	{ .name = "maps", .kind = LOADER_O_MAP, .read_named = load_names_map },
	{ .name = "max_entries",
	  .kind = LOADER_O_MAX_ENTRIES,
	  .read_named = load_names_number },
	{ .name = "value_size",
	  .kind = LOADER_O_VALUE_SIZE,
	  .read_named = load_names_number },
	{ .name = "variables",
	  .kind = LOADER_O_INTEGER,
	  .last_kind = LOADER_O_BYTES,
	  .read_named = load_names_variable },
	{ .name = "program_types",
	  .kind = LOADER_O_PROGRAM_TYPE,
	  .read_named = load_names_type },
	{ .name = "attach_to",
	  .kind = LOADER_O_ATTACH_TO,
	  .read_named = load_names_target },
	{ .name = "name",
	  .kind = LOADER_O_NAME,
	  .size = OBJECT_NAME_SIZE,
	  .read = read_text },
	{ .name = "lifetime", .read = read_lifetime },
	{ .name = "pin", .read = read_pin },
	{ .name = "log", .kind = LOADER_O_LOG, .read = read_log },
	{ .name = "types", .read = read_types },
	{ .name = "as", .read = read_as },
};

static const struct load_row of_instructions[] = {
	{ .name = "maps", .read = read_maps },
	{ .name = "license",
	  .kind = LOADER_O_LICENSE,
	  .size = LICENSE_SIZE,
	  .read = read_text },
	{ .name = "attach_type",
	  .kind = LOADER_O_ATTACH_TYPE,
	  .read = read_attach_type },
	{ .name = "attach_to",
	  .kind = LOADER_O_ATTACH_TO,
	  .size = LOAD_TARGET_SIZE,
	  .read = read_text },
	{ .name = "name",
	  .kind = LOADER_O_NAME,
	  .size = OBJECT_NAME_SIZE,
	  .read = read_program_name },
	{ .name = "sleepable",
	  .kind = LOADER_O_SLEEPABLE,
	  .read = read_sleepable,
	  .is_flag = true },
	{ .name = "lifetime", .read = read_lifetime },
	{ .name = "log", .kind = LOADER_O_LOG, .read = read_log },
};

/* The options of one function. */
struct rows {
	const struct load_row *rows;
	size_t count;
};

static const struct load_row *find(const struct rows *rows, struct term name,
				   bool is_flag)
{
	for (size_t i = 0; i < rows->count; i++)
		if (rows->rows[i].is_flag == is_flag &&
		    term_is_atom(name, rows->rows[i].name))
			return &rows->rows[i];
	return NULL;
}

static bool read_option(struct load_reading *reading, const struct rows *rows,
			struct term item)
{
	struct term pair[2];
	bool is_pair = term_tuple_of(item, pair, 2);
	const struct load_row *row =
		find(rows, is_pair ? pair[0] : item, !is_pair);
	uint32_t bit;

	if (!row)
		return loading_wrong(reading->call,
				     "an option is none that %s/%u has, or of "
				     "another shape",
				     reading->call->function,
				     reading->call->arity);
	reading->row = row;
	if (row->read_named)
		return load_names_read_all(reading, pair[1]);
	bit = 1u << (row - rows->rows);
	if (reading->seen & bit)
		return loading_wrong(reading->call, "%s is there twice",
				     row->name);
	reading->seen |= bit;
	return row->read(reading, is_pair ? pair[1] : item);
}

static bool read_all(struct load_reading *reading, const struct rows *rows,
		     struct term list)
{
	struct term_items items;
	struct term item;

	if (!term_list(list, &items))
		return loading_wrong(reading->call, "the options are no list");
	while (term_next(&items, &item))
		if (!read_option(reading, rows, item))
			return false;
	return term_end(&items) || raise_reason(reading->call, RAISED_BADARG);
}

bool load_options_read_object(struct call *call, struct term list,
			      struct load_options *options)
{
	static const struct rows rows = {
		of_object, sizeof(of_object) / sizeof(of_object[0])
	};
	struct load_reading reading = { .call = call, .options = options };
	const struct view_options *view = &options->view;

	if (!read_all(&reading, &rows, list))
		return false;
	return view->as.size == 0 || view->types.size > 0 ||
	       loading_wrong(call, "as is there without types");
}

bool load_options_read_instructions(struct call *call, struct term list,
				    struct load_options *options)
{
	static const struct rows rows = { of_instructions,
					  sizeof(of_instructions) /
						  sizeof(of_instructions[0]) };
	struct load_reading reading = { .call = call, .options = options };

	return read_all(&reading, &rows, list);
}

struct load_options *load_options_new(struct call *call, enum loader_job job)
{
	struct load_options *options = malloc(sizeof(*options));

	if (!options) {
		raise_no_memory(call);
		return NULL;
	}
	loading_init(&options->loading, job);
	options->lifetime = HANDLES_NODE;
	options->log = 0;
	options->pin[0] = '\0';
	options->view = (struct view_options){ .types.size = 0 };
	options->map_count = 0;
	return options;
}

void load_options_free(struct load_options *options)
{
	if (!options)
		return;
	for (unsigned i = 0; i < options->map_count; i++)
		map_unref(options->maps[i].map);
	loading_fini(&options->loading);
	free(options);
}
