/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options of load/2 that name programs, maps and variables of its object:
 * names, and a value for each.
 */
#include "call/load_names.h"

#include <stdlib.h>
#include <string.h>

#include "bpf/program.h"
#include "limits/map_memory.h"

#define MAX_NAMES 1024 /* in all options: each is compared with the others */

/* --- Names --------------------------------------------------------------- */

static bool is_of_row(const struct load_row *row, uint32_t kind)
{
	return kind >= (uint32_t)row->kind &&
	       (kind == (uint32_t)row->kind ||
		kind <= (uint32_t)row->last_kind);
}

static bool has_name(const struct load_reading *reading, const char *name)
{
	const struct records *records = &reading->options->loading.records;
	struct record record;
	size_t at = 0;

	while (records_next(records->bytes, records->size, &at, &record))
		if (is_of_row(reading->row, record.kind) && record.name &&
		    strcmp(record.name, name) == 0)
			return true;
	return false;
}

bool load_names_read(struct load_reading *reading, struct term t,
		     char name[LOADER_NAME_SIZE])
{
	const char *option = reading->row->name;

	if (!term_read_text(t, name, LOADER_NAME_SIZE) || !*name)
		return loading_wrong(reading->call,
				     "a name in %s is not a text of 1 to %u "
				     "bytes",
				     option, LOADER_NAME_SIZE - 1);
	if (++reading->names > MAX_NAMES)
		return loading_wrong(reading->call,
				     "the options have more than %d names",
				     MAX_NAMES);
	return !has_name(reading, name) ||
	       loading_wrong(reading->call, "%s has %s twice", option, name);
}

bool load_names_read_all(struct load_reading *reading, struct term t)
{
	char name[LOADER_NAME_SIZE];
	struct term_items items;
	struct term pair[2];

	if (!term_map(t, &items))
		return loading_wrong(reading->call,
				     "%s is not a map from names",
				     reading->row->name);
	while (term_next_some(&items, pair, 2) == 2)
		if (!load_names_read(reading, pair[0], name) ||
		    !reading->row->read_named(reading, name, pair[1]))
			return false;
	return term_end(&items) || raise_reason(reading->call, RAISED_BADARG);
}

static void add(struct load_reading *reading, const struct record *record)
{
	struct record with_kind = *record;

	if (record->kind == 0)
		with_kind.kind = reading->row->kind;
	records_add(&reading->options->loading.records, &with_kind);
}

void load_names_add_number(struct load_reading *reading, const char *name,
			   uint64_t number)
{
	const struct record record = { .name = name,
				       .fd = RECORD_NO_FD,
				       .number = number };

	add(reading, &record);
}

void load_names_add_text(struct load_reading *reading, const char *name,
			 const char *text)
{
	const struct record record = { .name = name,
				       .fd = RECORD_NO_FD,
				       .data = text,
				       .size = strlen(text) };

	add(reading, &record);
}

/* --- Values of names ------------------------------------------------------ */

bool load_names_number(struct load_reading *reading, const char *name,
		       struct term t)
{
	uint32_t number;

	if (!term_read_uint32(t, &number))
		return loading_wrong(reading->call,
				     "%s of %s is no number of 32 bits",
				     reading->row->name, name);
	load_names_add_number(reading, name, number);
	return true;
}

/* Above the largest signed number it takes a kind of its own. */
bool load_names_variable(struct load_reading *reading, const char *name,
			 struct term t)
{
	struct record record = { .name = name,
				 .fd = RECORD_NO_FD,
				 .kind = LOADER_O_BYTES };
	const char *bytes;
	int64_t number;

	if (term_read_binary(t, &bytes, &record.size)) {
		record.data = bytes;
	} else if (term_read_uint64(t, &record.number)) {
		record.kind = record.number > INT64_MAX ? LOADER_O_LARGE
							: LOADER_O_INTEGER;
	} else if (term_read_bytes(t, (char *)&number, sizeof(number))) {
		record.kind = LOADER_O_INTEGER;
		record.number = (uint64_t)number;
	} else {
		return loading_wrong(reading->call,
				     "variable %s is neither a binary nor an "
				     "integer of 64 bits",
				     name);
	}
	add(reading, &record);
	return true;
}

bool load_options_read_type(struct term t, uint32_t *type)
{
	const char *name;

	for (*type = 0; (name = program_type_name(*type)); ++*type)
		if (term_is_atom(t, name))
			return true;
	return false;
}

bool load_names_type(struct load_reading *reading, const char *name,
		     struct term t)
{
	uint32_t type;

	if (!load_options_read_type(t, &type))
		return loading_wrong(reading->call,
				     "the type of program %s is none that "
				     "libbpf has a name for",
				     name);
	load_names_add_number(reading, name, type);
	return true;
}

bool load_names_target(struct load_reading *reading, const char *name,
		       struct term t)
{
	char text[LOAD_TARGET_SIZE];

	if (!term_read_text(t, text, sizeof(text)) || !*text)
		return loading_wrong(reading->call,
				     "attach_to of %s is not a text of 1 to %d "
				     "bytes",
				     name, LOAD_TARGET_SIZE - 1);
	load_names_add_text(reading, name, text);
	return true;
}

/* --- Maps ----------------------------------------------------------------- */

bool load_options_add_map(struct load_options *options, struct map *map,
			  const char *name, struct term term)
{
	const struct record record = { .kind = LOADER_O_MAP,
				       .fd = options->map_count,
				       .name = name };
	struct load_map *added = &options->maps[options->map_count];

	if (options->map_count ==
	    sizeof(options->maps) / sizeof(options->maps[0])) {
		map_unref(map);
		return false;
	}
	added->map = map;
	added->term = term;
	added->name[0] = '\0';
	if (name) {
		memcpy(added->name, name, strlen(name) + 1);
		records_add(&options->loading.records, &record);
	}
	options->map_count++;
	map_memory_will_be_used(map);
	return true;
}

bool load_names_map(struct load_reading *reading, const char *name,
		    struct term t)
{
	struct call *call = reading->call;
	struct map *map = NULL;

	if (!call_read_program_map(call, t, name, &map)) {
		map_unref(map);
		return false;
	}
	return load_options_add_map(reading->options, map, name, t) ||
	       loading_wrong(call, "there are more than %d maps",
			     LOADER_MAX_FDS - 1);
}
