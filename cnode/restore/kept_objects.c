/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects as their records describe them, by a term for each kind:
 *
 *	{map, AccessFlags, none | {As, PerCpu}}
 *	{program, Name | none, Section | none, AttachType}
 *	{link, Target | none}
 *	{process, Type, Program}  of no kernel link, which cannot be kept
 *
 * As is that of the options of a view, by names of members as binaries. Its
 * layouts are a part that it shares with other views: behind the byte that says
 * so, {KeyLayout | 0, ValueLayout | 0}.
 */
#include "restore/kept_objects.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bpf/link.h"
#include "bpf/map.h"
#include "bpf/program.h"
#include "call/views.h"
#include "limits/map_memory.h"
#include "restore/kept_layouts.h"
#include "types/layout_write.h"

#define NAME_SIZE 4096 /* bytes of a program's name or section, with a NUL */

/* --- Maps: describing ----------------------------------------------------- */

static void write_layout(struct term_writer *w, const struct plan *plan)
{
	if (plan)
		layout_write(plan, w);
	else
		term_write_uint(w, 0);
}

static void write_as(struct term_writer *w, const struct types *types)
{
	const struct decode_choice *choice = &types->choice;
	const char *names =
		types->plans->value ? types->plans->value->names : "";

	if (choice->count == 0) {
		term_write_atom(w,
				types->form == PLAN_AS_TUPLE ? "tuple" : "map");
		return;
	}
	term_write_list(w, (int)choice->count);
	for (uint32_t i = 0; i < choice->count; i++)
		term_write_binary(w, names + choice->members[i]->name,
				  choice->members[i]->name_size);
	term_write_nil(w);
}

static void write_view(struct term_writer *w, const struct types *types)
{
	static const char *const folds[] = { [FOLD_NONE] = "list",
					     [FOLD_SUM] = "sum",
					     [FOLD_MAX] = "max",
					     [FOLD_MIN] = "min" };

	term_write_tuple(w, 2);
	write_as(w, types);
	term_write_atom(w, folds[types->fold]);
}

static int describe_layouts(const struct types_plans *plans,
			    struct handles_description *description)
{
	static const char part = STATE_PART;
	struct term_writer w;

	term_writer_init(&w);
	term_write_raw(&w, &part, sizeof(part));
	term_write_tuple(&w, 2);
	write_layout(&w, plans->key);
	write_layout(&w, plans->value);
	if (w.failed) {
		term_writer_fini(&w);
		return -ENOMEM;
	}
	description->part = (unsigned char *)w.buf;
	description->part_size = w.pos;
	return 0;
}

static uint32_t access_of(const struct map *map)
{
	if (!map->resource.restricted)
		return 0;
	return map->write_only ? BPF_F_WRONLY : BPF_F_RDONLY;
}

static void write_map(struct term_writer *w, const struct map *map)
{
	term_write_tuple(w, 3);
	term_write_atom(w, "map");
	term_write_uint(w, access_of(map));
	if (map->types)
		write_view(w, map->types);
	else
		term_write_atom(w, "none");
}

/* --- Programs and links: describing --------------------------------------- */

static void write_text(struct term_writer *w, const char *text)
{
	if (text)
		term_write_binary(w, text, strlen(text));
	else
		term_write_atom(w, "none");
}

static void write_program(struct term_writer *w, const struct program *program)
{
	term_write_tuple(w, 4);
	term_write_atom(w, "program");
	write_text(w, program->full_name);
	write_text(w, program->section);
	term_write_uint(w, program->attach_type);
}

static void write_link(struct term_writer *w, const struct link *link)
{
	if (link->kept) {
		term_write_tuple(w, 3);
		term_write_atom(w, "process");
		term_write_uint(w, link->type);
		term_write_uint(w, link->program_id);
		return;
	}
	term_write_tuple(w, 2);
	term_write_atom(w, "link");
	if (link->target)
		term_write_raw(w, link->target, link->target_size);
	else
		term_write_atom(w, "none");
}

static void write_object(struct term_writer *w, const struct resource *resource)
{
	if (resource->kind == &map_kind)
		write_map(w, (const struct map *)resource);
	else if (resource->kind == &program_kind)
		write_program(w, (const struct program *)resource);
	else
		write_link(w, (const struct link *)resource);
}

/* What is pinned of it. */
static void describe_pins(const struct resource *resource,
			  struct handles_description *description)
{
	const struct link *link;

	description->pins = true;
	if (resource->kind != &link_kind)
		return;
	link = (const struct link *)resource;
	description->pins = !link->kept;
	description->more = link->more;
	description->more_count = link->more_count;
}

int kept_objects_describe(const struct resource *resource,
			  struct handles_description *description)
{
	const struct types *types =
		resource->kind == &map_kind
			? ((const struct map *)resource)->types
			: NULL;
	struct term_writer w;

	*description = (struct handles_description){ .bytes = NULL };
	describe_pins(resource, description);
	if (types && describe_layouts(types->plans, description) < 0)
		return -ENOMEM;
	term_writer_init(&w);
	write_object(&w, resource);
	if (w.failed) {
		term_writer_fini(&w);
		return -ENOMEM;
	}
	description->bytes = (unsigned char *)w.buf;
	description->size = w.pos;
	return 0;
}

/* --- Maps: opening -------------------------------------------------------- */

static bool fits(const struct plan *plan, uint32_t size)
{
	return !plan || (size > 0 && plan->size == size);
}

/* Before others see the map. */
static int make_view(const struct restore *restore, uint32_t part,
		     struct term view, struct map *map)
{
	struct view_options options = { .types.size = 0 };
	struct types_plans *plans;
	struct term parts[2];
	int error = kept_layouts_find(restore->layouts, part, &plans);

	if (error < 0)
		return error;
	if (!term_tuple_of(view, parts, 2) ||
	    !fits(plans->key, map->key_size) ||
	    !fits(plans->value, map->value_size))
		return -EBADMSG;
	options.as = parts[0];
	options.percpu = parts[1];
	return views_set(&options, types_plans_ref(plans), map);
}

static int open_map(const struct restore *restore,
		    const struct handles_kept *kept, const struct term *parts,
		    struct resource **resource)
{
	char path[STATE_PATH_SIZE];
	struct map *map;
	uint32_t flags;
	int error;

	if (!term_read_uint32(parts[1], &flags) || kept->pins != 1)
		return -EBADMSG;
	state_pin_path(restore->state, &kept->pin, path);
	error = map_memory_open_pinned(restore->map_memory, path, flags, &map);
	if (error < 0)
		return error;
	if (!term_is_atom(parts[2], "none"))
		error = make_view(restore, kept->part, parts[2], map);
	if (error < 0)
		map_unref(map);
	else
		*resource = &map->resource;
	return error;
}

/* --- Programs and links: opening ------------------------------------------ */

/* *text is NULL for none. */
static bool read_text(struct term t, char text[NAME_SIZE], const char **read)
{
	*read = term_is_atom(t, "none") ? NULL : text;
	return !*read || term_read_text(t, text, NAME_SIZE);
}

static int open_program(const struct restore *restore,
			const struct handles_kept *kept,
			const struct term *parts, struct resource **resource)
{
	char names[2][NAME_SIZE];
	const char *name, *section;
	struct program *program;
	uint32_t attach_type;
	int fd, error;

	if (!read_text(parts[1], names[0], &name) ||
	    !read_text(parts[2], names[1], &section) ||
	    !term_read_uint32(parts[3], &attach_type) || kept->pins != 1)
		return -EBADMSG;
	fd = state_open_pin(restore->state, &kept->pin);
	error = fd < 0 ? fd : program_adopt(fd, &program);
	if (error < 0)
		return error;
	error = program_set_origin(program, name, section, attach_type);
	if (error < 0)
		resource_unref(&program->resource);
	else
		*resource = &program->resource;
	return error;
}

/* All of them, or none. */
static int open_pins(const struct restore *restore,
		     const struct handles_kept *kept, int *fds)
{
	struct state_pin pin = kept->pin;
	int error = 0;

	for (; pin.number < kept->pins && error == 0; pin.number++) {
		fds[pin.number] = state_open_pin(restore->state, &pin);
		if (fds[pin.number] < 0)
			error = fds[pin.number--];
	}
	for (; error < 0 && pin.number > 0; pin.number--)
		close(fds[pin.number - 1]);
	return error;
}

static int open_link(const struct restore *restore,
		     const struct handles_kept *kept, const struct term *parts,
		     struct resource **resource)
{
	int *fds = calloc(kept->pins, sizeof(*fds));
	struct link *link;
	int error = fds ? open_pins(restore, kept, fds) : -ENOMEM;

	if (error == 0)
		error = link_adopt(fds, kept->pins, &link);
	free(fds);
	if (error == 0 && !term_is_atom(parts[1], "none")) {
		error = link_set_target(link, parts[1].at, parts[1].size);
		if (error < 0)
			resource_unref(&link->resource);
	}
	if (error == 0)
		*resource = &link->resource;
	return error;
}

/* --- Kinds ---------------------------------------------------------------- */

#define MAX_PARTS 4

static const struct kept_kind {
	const char *tag;
	uint32_t parts;
	const struct resource_kind *kind;
	int (*open)(const struct restore *restore,
		    const struct handles_kept *kept, const struct term *parts,
		    struct resource **resource);
} kinds[] = {
	{ "map", 3, &map_kind, open_map },
	{ "program", 4, &program_kind, open_program },
	{ "link", 2, &link_kind, open_link },
	{ "process", 3, &link_kind, NULL },
};

/* Such a term has been checked. */
static const struct kept_kind *kind_of(struct term description,
				       struct term parts[MAX_PARTS])
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (term_tuple_of(description, parts, kinds[i].parts) &&
		    term_is_atom(parts[0], kinds[i].tag))
			return &kinds[i];
	return NULL;
}

const struct resource_kind *kept_objects_kind(struct term description)
{
	struct term parts[MAX_PARTS];
	const struct kept_kind *kind = kind_of(description, parts);

	return kind ? kind->kind : NULL;
}

int kept_objects_open(const struct restore *restore,
		      const struct handles_kept *kept,
		      struct resource **resource)
{
	const struct term description = { kept->description,
					  kept->description_size };
	struct term parts[MAX_PARTS];
	const struct kept_kind *kind = kind_of(description, parts);
	int error = kind && kind->open && kept->pins > 0 ? 0 : -EBADMSG;

	*resource = NULL;
	if (error == 0)
		error = kind->open(restore, kept, parts, resource);
	if (error == 0 && (*resource)->id != kept->id) {
		resource_unref(*resource);
		*resource = NULL;
		error = -EINVAL;
	}
	return error;
}
