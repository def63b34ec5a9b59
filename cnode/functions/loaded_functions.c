/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The programs and links of this host, and the handles of this node:
 *
 *	list()    -> [ProgramInfo]
 *	links()   -> [LinkInfo]
 *	info(P)   -> ProgramInfo | LinkInfo
 *	handles() -> [{P, Owner, node | process | permanent}]
 *	Owner     =  node() | pid() | none
 *
 *	ProgramInfo = #{id, type, name, tag, gpl, loaded, uid, instructions,
 *	                translated, jited, maps, btf, pinned, handles}
 *	LinkInfo    = #{id, type, program, attach_type, target, pinned,
 *	                handles}
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/link.h"
#include "bpf/pins.h"
#include "bpf/program.h"
#include "call/descriptions.h"
#include "call/objects.h"
#include "functions/handlers.h"

#define MAX_MAPS 1024 /* told, of one program; the kernel allows 64 */

/* --- A program ----------------------------------------------------------- */

static void write_text(struct term_writer *w, const char *name,
		       const char *text)
{
	term_write_atom(w, name);
	term_write_binary(w, text, strlen(text));
}

static void write_maps(struct call *call, const struct program *program)
{
	size_t list = term_write_list_open(call->out);
	uint32_t ids[MAX_MAPS], count = MAX_MAPS;
	int error = program_get_maps(program, ids, &count);

	if (error == -ENOSPC)
		count = MAX_MAPS;
	else if (error < 0)
		count = 0;
	for (uint32_t i = 0; i < count; i++)
		term_write_uint(call->out, ids[i]);
	term_write_list_close(call->out, list, count);
}

static int write_program(struct call *call, const struct resource *resource,
			 const struct pins *pins)
{
	const struct program *program = (const struct program *)resource;
	struct term_writer *w = call->out;
	struct program_info info;
	int error = program_get_info(program, &info);
	size_t map;

	if (error < 0)
		return error;
	map = term_write_map_open(w);
	term_write_entry(w, "id", info.id);
	term_write_atom(w, "type");
	objects_write_type(call, resource);
	write_text(w, "name", program_name(program));
	term_write_atom(w, "tag");
	term_write_binary(w, info.tag, sizeof(info.tag));
	descriptions_write_bool(w, "gpl", info.gpl);
	term_write_entry(w, "loaded", info.loaded);
	term_write_entry(w, "uid", info.uid);
	term_write_entry(w, "instructions", info.instructions);
	term_write_entry(w, "translated", info.translated);
	term_write_entry(w, "jited", info.jited);
	term_write_atom(w, "maps");
	write_maps(call, program);
	descriptions_write_id(w, "btf", info.btf_id);
	descriptions_write_holders(call, &program_kind, info.id, pins);
	term_write_map_close(w, map, 14);
	return 0;
}

/* --- A link -------------------------------------------------------------- */

/* What the kernel tells of it; the rest is in the handle. */
static void write_target(struct term_writer *w, const struct link_info *info)
{
	size_t map = term_write_map_open(w);
	uint32_t n = 0;

	if (info->ifindex > 0)
		n++, term_write_entry(w, "ifindex", info->ifindex);
	if (info->cgroup_id > 0)
		n++, term_write_entry(w, "cgroup", info->cgroup_id);
	if (info->netns_inode > 0)
		n++, term_write_entry(w, "netns", info->netns_inode);
	if (info->map_id > 0)
		n++, term_write_entry(w, "map", info->map_id);
	if (info->place[0])
		n++, write_text(w, "place", info->place);
	term_write_map_close(w, map, n);
}

static void write_attach_type(struct term_writer *w,
			      const struct link_info *info)
{
	const char *name = info->has_attach_type
				   ? link_attach_type_name(info->attach_type)
				   : "none";

	term_write_atom(w, "attach_type");
	if (name)
		term_write_atom(w, name);
	else
		term_write_uint(w, info->attach_type);
}

static int write_link(struct call *call, const struct resource *resource,
		      const struct pins *pins)
{
	struct term_writer *w = call->out;
	struct link_info info;
	int error = link_get_info((const struct link *)resource, &info);
	size_t map;

	if (error < 0)
		return error;
	map = term_write_map_open(w);
	term_write_entry(w, "id", info.id);
	term_write_atom(w, "type");
	objects_write_type(call, resource);
	term_write_entry(w, "program", info.program_id);
	write_attach_type(w, &info);
	term_write_atom(w, "target");
	write_target(w, &info);
	descriptions_write_holders(call, &link_kind, info.id, pins);
	term_write_map_close(w, map, 7);
	return 0;
}

/* --- All ----------------------------------------------------------------- */

static const struct listed {
	const struct resource_kind *kind;
	int (*next)(uint32_t *id);
	int (*write)(struct call *call, const struct resource *resource,
		     const struct pins *pins);
} programs = { &program_kind, program_next_id, write_program },
  links = { &link_kind, link_next_id, write_link };

bool loaded_functions_info(struct call *call)
{
	struct resource *resource = objects_read_either(call, call->args[0]);
	const struct listed *listed;
	struct pins pins;
	int error;

	if (!resource)
		return false;
	listed = resource->kind == &link_kind ? &links : &programs;
	error = pins_find_of(&pins, resource, call->context->stopped);
	if (error < 0)
		return raise_errno(call, error);
	error = listed->write(call, resource, &pins);
	pins_free(&pins);
	return error == 0 || raise_errno(call, error);
}

/* One that ends meanwhile, or that may not be read, is left out. */
static int write_one(struct call *call, const struct listed *listed,
		     uint32_t id, const struct pins *pins, uint32_t *n)
{
	struct resource *resource;
	int error = objects_open_id(listed->kind, id, &resource);

	if (error == -ENOENT || error == -EPERM || error == -EACCES)
		return 0;
	if (error < 0)
		return error;
	error = listed->write(call, resource, pins);
	resource_unref(resource);
	*n += error == 0;
	return error;
}

static bool write_each(struct call *call, const struct listed *listed,
		       const struct pins *pins)
{
	size_t list = term_write_list_open(call->out);
	uint32_t id = 0, n = 0;
	int error;

	while ((error = listed->next(&id)) == 0) {
		if (!call_goes_on(call))
			return false;
		error = write_one(call, listed, id, pins, &n);
		if (error < 0)
			return raise_errno(call, error);
	}
	term_write_list_close(call->out, list, n);
	return error == -ENOENT || raise_errno(call, error);
}

static bool write_all(struct call *call, const struct listed *listed)
{
	struct pins pins;
	int error = pins_find(&pins, listed->kind, call->context->stopped);
	bool good;

	if (error < 0)
		return raise_errno(call, error);
	good = write_each(call, listed, &pins);
	pins_free(&pins);
	return good;
}

bool loaded_functions_list(struct call *call)
{
	return write_all(call, &programs);
}

bool loaded_functions_links(struct call *call)
{
	return write_all(call, &links);
}

bool loaded_functions_handles(struct call *call)
{
	size_t list = term_write_list_open(call->out);
	uint32_t n = descriptions_write_owned(call, &program_kind);

	n += descriptions_write_owned(call, &link_kind);
	term_write_list_close(call->out, list, n);
	return true;
}
