/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes back from a load. A hostile object may have taken over the child
 * that answers, so that each thing in it is compared with what the kernel says,
 * with what was asked for, and with what the caller may have.
 */
#include "call/loaded.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/program.h"
#include "bpf/program_words.h"

/* the kernel takes 64, and those bound to it */
#define MAX_MAPS_OF_PROGRAM 256

/* An answer that is being read. */
struct reading {
	struct call *call;
	struct load_options *options;
	struct loaded *loaded;
	struct handles_reservation left;
	const char *wrong; /* NULL: nothing yet */
	bool no_memory;
};

static bool is_wrong(struct reading *reading, const char *how)
{
	reading->wrong = how;
	return false;
}

/* --- Objects -------------------------------------------------------------- */

/* A place for it, a name that no other has, and its descriptor. */
static bool take(struct reading *reading, const struct record *record,
		 enum resource_class class, int *fd)
{
	uint32_t *left = &reading->left.left[class];

	/* only a program of load/3 needs none */
	if (!record->name || strlen(record->name) >= LOADER_NAME_SIZE ||
	    (!*record->name &&
	     reading->options->loading.request.job == LOADER_LOAD))
		return is_wrong(reading, "a name is missing or too long");
	if (*left == 0)
		return is_wrong(reading, "it made more than it may");
	--*left;
	*fd = loader_answer_take(&reading->options->loading.answer, record->fd);
	return *fd >= 0 || is_wrong(reading, "a descriptor is missing");
}

static bool adopted(struct reading *reading, int error)
{
	if (error == -ENOMEM)
		reading->no_memory = true;
	return error == 0 ||
	       is_wrong(reading, "a descriptor is not what it was called");
}

static bool read_map(struct reading *reading, const struct record *record)
{
	struct loaded *loaded = reading->loaded;
	struct loaded_map *added = &loaded->maps[loaded->map_count];
	int fd;

	if (!take(reading, record, RESOURCE_MAPS, &fd) ||
	    !adopted(reading, map_adopt(fd, &added->map)))
		return false;
	added->name = record->name;
	added->asks_pin = record->number == 1;
	loaded->map_count++;
	return added->map->type != BPF_MAP_TYPE_STRUCT_OPS ||
	       is_wrong(reading, "a map is of a type that is never made");
}

static bool read_program(struct reading *reading, const struct record *record)
{
	const struct call_common *common = reading->call->context->common;
	struct loaded *loaded = reading->loaded;
	struct loaded_program *added = &loaded->programs[loaded->program_count];
	char section[LOADER_NAME_SIZE] = "";
	int fd;

	if (record->size >= sizeof(section) || record->number > UINT32_MAX)
		return is_wrong(reading, "a program's origin is too long");
	if (record->size > 0)
		memcpy(section, record->data, record->size);
	if (!take(reading, record, RESOURCE_PROGRAMS, &fd) ||
	    !adopted(reading, program_adopt(fd, &added->program)))
		return false;
	added->name = record->name;
	loaded->program_count++;
	if (!program_words_allow(common->program_words, added->program->type))
		return is_wrong(reading, "a program is of a type that "
					 "--programs does not allow");
	reading->no_memory = program_set_origin(added->program, record->name,
						*section ? section : NULL,
						(uint32_t)record->number) < 0;
	return !reading->no_memory;
}

static struct loaded_map *find_map(const struct loaded *loaded,
				   const char *name, size_t size)
{
	for (size_t i = 0; i < loaded->map_count; i++)
		if (strlen(loaded->maps[i].name) == size &&
		    memcmp(loaded->maps[i].name, name, size) == 0)
			return &loaded->maps[i];
	return NULL;
}

static struct loaded_program *find_program(const struct loaded *loaded,
					   const char *name)
{
	for (size_t i = 0; name && i < loaded->program_count; i++)
		if (strcmp(loaded->programs[i].name, name) == 0)
			return &loaded->programs[i];
	return NULL;
}

static bool read_variable(struct reading *reading, const struct record *record)
{
	struct loaded *loaded = reading->loaded;
	struct loaded_variable variable = {
		.name = record->name,
		.map = record->size > 0
			       ? find_map(loaded, record->data, record->size)
			       : NULL,
		.offset = (uint32_t)(record->number >> 32),
		.size = (uint32_t)record->number,
	};

	if (!variable.name || !variable.map)
		return is_wrong(reading, "a variable is in none of the maps");
	if (variable.size == 0 ||
	    variable.size > variable.map->map->value_size ||
	    variable.offset > variable.map->map->value_size - variable.size)
		return is_wrong(reading, "a variable is not within its map");
	/* those of the object's files that are linked: no name for them */
	if (*variable.name && strlen(variable.name) < LOADER_NAME_SIZE)
		loaded->variables[loaded->variable_count++] = variable;
	return true;
}

static bool read_log(struct reading *reading, const struct record *record)
{
	struct loaded_program *program =
		find_program(reading->loaded, record->name);

	if (!program || program->log.size > 0)
		return is_wrong(reading, "a log is of none of the programs");
	program->log = *record;
	return true;
}

/* --- All of them ---------------------------------------------------------- */

/* Each may name what the ones before it have brought. */
static const struct {
	enum loader_result kind;
	bool (*read)(struct reading *reading, const struct record *record);
} kinds[] = {
	{ LOADER_R_MAP, read_map },
	{ LOADER_R_PROGRAM, read_program },
	{ LOADER_R_VARIABLE, read_variable },
	{ LOADER_R_LOG, read_log },
};

static bool read_kinds(struct reading *reading)
{
	struct record record;
	size_t at;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		at = 0;
		while (loading_next(&reading->options->loading, &at, &record))
			if (record.kind == (uint32_t)kinds[i].kind &&
			    !kinds[i].read(reading, &record))
				return false;
	}
	return true;
}

static size_t count_records(const struct loading *loading,
			    enum loader_result kind)
{
	struct record record;
	size_t at = 0, count = 0;

	while (loading_next(loading, &at, &record))
		count += record.kind == (uint32_t)kind;
	return count;
}

/* One more each, so that none is of size 0. */
static bool make_room(struct reading *reading)
{
	const struct loading *loading = &reading->options->loading;
	struct loaded *loaded = reading->loaded;
	size_t maps = count_records(loading, LOADER_R_MAP) +
		      reading->options->map_count;
	size_t programs = count_records(loading, LOADER_R_PROGRAM);
	size_t variables = count_records(loading, LOADER_R_VARIABLE);

	loaded->maps = calloc(maps + 1, sizeof(*loaded->maps));
	loaded->programs = calloc(programs + 1, sizeof(*loaded->programs));
	loaded->variables = calloc(variables + 1, sizeof(*loaded->variables));
	reading->no_memory =
		!loaded->maps || !loaded->programs || !loaded->variables;
	return !reading->no_memory;
}

/* Those of load/3 have no names, and are no part of the result. */
static void add_given(const struct reading *reading)
{
	struct loaded *loaded = reading->loaded;

	for (unsigned i = 0; i < reading->options->map_count; i++) {
		const struct load_map *given = &reading->options->maps[i];

		loaded->maps[loaded->map_count++] = (struct loaded_map){
			.name = given->name,
			.map = map_ref(given->map),
			.given = given->term,
		};
	}
	loaded->given = loaded->map_count;
}

/* --- What the kernel says ------------------------------------------------- */

static bool has_map(const struct loaded *loaded, uint32_t id)
{
	for (size_t i = 0; i < loaded->map_count; i++)
		if (loaded->maps[i].map->resource.id == id)
			return true;
	return false;
}

static bool check_maps_of(struct reading *reading,
			  const struct program *program)
{
	uint32_t ids[MAX_MAPS_OF_PROGRAM], count = MAX_MAPS_OF_PROGRAM;

	if (program_get_maps(program, ids, &count) < 0)
		return is_wrong(reading, "the maps of a program are not to be "
					 "had");
	for (uint32_t i = 0; i < count; i++)
		if (!has_map(reading->loaded, ids[i]))
			return is_wrong(reading,
					"a program has a map that is neither "
					"the object's nor the caller's");
	return true;
}

/* Two of one name would be no map as a term. */
static bool check_names(struct reading *reading)
{
	const struct loaded *loaded = reading->loaded;
	bool named = reading->options->loading.request.job == LOADER_LOAD;

	for (size_t i = 0; i < loaded->program_count; i++)
		if (find_program(loaded, loaded->programs[i].name) !=
		    &loaded->programs[i])
			return is_wrong(reading, "two programs have one name");
	for (size_t i = 0; named && i < loaded->map_count; i++)
		if (find_map(loaded, loaded->maps[i].name,
			     strlen(loaded->maps[i].name)) != &loaded->maps[i])
			return is_wrong(reading, "two maps have one name");
	return true;
}

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct loaded_variable *)a)->name,
		      ((const struct loaded_variable *)b)->name);
}

/*
 * Files that are linked may each have a static variable of one name, of which
 * none can be told from the others.
 */
static void drop_ambiguous(struct loaded *loaded)
{
	struct loaded_variable *all = loaded->variables;
	size_t count = 0, next;

	if (loaded->variable_count > 0)
		qsort(all, loaded->variable_count, sizeof(*all), compare);
	for (size_t i = 0; i < loaded->variable_count; i = next) {
		next = i + 1;
		while (next < loaded->variable_count &&
		       compare(&all[i], &all[next]) == 0)
			next++;
		if (next == i + 1)
			all[count++] = all[i];
	}
	loaded->variable_count = count;
}

static bool check(struct reading *reading)
{
	const struct loaded *loaded = reading->loaded;

	for (size_t i = 0; i < loaded->program_count; i++)
		if (!check_maps_of(reading, loaded->programs[i].program))
			return false;
	return check_names(reading);
}

bool loaded_read(struct call *call, struct load_options *options,
		 const struct handles_reservation *reservation,
		 struct loaded *loaded, bool *done)
{
	struct reading reading = { .call = call,
				   .options = options,
				   .loaded = loaded,
				   .left = *reservation };
	bool good = make_room(&reading);

	if (good) {
		add_given(&reading);
		good = read_kinds(&reading) && check(&reading);
	}
	if (reading.no_memory)
		return raise_no_memory(call);
	*done = !good;
	if (!good)
		return loading_lied(call, reading.wrong);
	drop_ambiguous(loaded);
	return true;
}

void loaded_fini(struct loaded *loaded)
{
	for (size_t i = 0; i < loaded->program_count; i++)
		resource_unref(&loaded->programs[i].program->resource);
	for (size_t i = 0; i < loaded->map_count; i++)
		map_unref(loaded->maps[i].map);
	free(loaded->programs);
	free(loaded->maps);
	free(loaded->variables);
	memset(loaded, 0, sizeof(*loaded));
}
