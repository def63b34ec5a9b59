/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions on programs and links, and their handles:
 *
 *	open({id, Id} | {link, Id} | {name, Name} | {pinned, Path}[, Options])
 *	          -> program() | link() | {error, Posix | ambiguous}
 *	close(P)  -> ok | {error, ebadf}
 *	type(P)   -> atom() | integer()
 *	pin(Path, P), unpin(Path, P) -> ok | {error, Posix}
 *	count(Program) -> #{runs, nanoseconds, recursion_misses}
 *	                | {error, Posix}
 *
 *	Options = [{lifetime, node | process | permanent}]
 *	P       = program() | link()
 */
#include <errno.h>
#include <string.h>

#include "bpf/link.h"
#include "bpf/program.h"
#include "call/objects.h"
#include "call/pinning.h"
#include "call/refusal.h"
#include "functions/handlers.h"
#include "host/pin_path.h"

#define AMBIGUOUS 1 /* several programs have that name */

/* --- open/1,2 ------------------------------------------------------------ */

static int open_pin(const char *path, struct resource **opened)
{
	struct program *program;
	struct link *link;
	int error = program_open_pinned(path, &program);

	if (error == 0)
		*opened = &program->resource;
	if (error != -EINVAL)
		return error;
	error = link_open_pinned(path, &link);
	if (error == 0)
		*opened = &link->resource;
	return error;
}

static bool open_pinned(struct call *call, struct term t,
			struct resource **opened, int *error)
{
	const struct root *root = &call->context->common->pin_root;
	char text[PATH_MAX];
	struct pin_path path;

	if (!call_read_path(call, t, text))
		return false;
	*error = pin_path_open(&path, root, text);
	if (pinning_refused(call, &path, text, *error))
		return false;
	if (*error == 0)
		*error = open_pin(path.text, opened);
	pin_path_close(&path);
	return true;
}

static int open_named(const struct call *call, const char *name,
		      struct resource **opened)
{
	struct resource *next, *found = NULL;
	const struct program *program;
	uint32_t id = 0;
	int error;

	while ((error = program_next_id(&id)) == 0) {
		error = atomic_load(call->context->stopped)
				? -ECANCELED
				: objects_open_id(&program_kind, id, &next);
		if (error == -ENOENT)
			continue;
		if (error < 0)
			break;
		program = program_of(next);
		if (!program || strcmp(program->name, name) != 0) {
			resource_unref(next);
			continue;
		}
		if (found) {
			resource_unref(next);
			error = AMBIGUOUS;
			break;
		}
		found = next;
	}
	if (error == -ENOENT && found) {
		*opened = found;
		return 0;
	}
	resource_unref(found);
	return error;
}

/* *error is AMBIGUOUS, or -errno. */
static bool open_what(struct call *call, struct resource **opened, int *error)
{
	char name[RESOURCE_NAME_SIZE];
	struct term pair[2];
	uint32_t id;
	bool link;

	if (!term_tuple_of(call->args[0], pair, 2))
		return raise_reason(call, RAISED_BADARG);
	if (term_is_atom(pair[0], "pinned"))
		return open_pinned(call, pair[1], opened, error);
	if (term_is_atom(pair[0], "name")) {
		*error = term_read_text(pair[1], name, sizeof(name)) && *name
				 ? open_named(call, name, opened)
				 : -ENOENT;
	} else {
		link = term_is_atom(pair[0], "link");
		if ((!link && !term_is_atom(pair[0], "id")) ||
		    !term_read_uint32(pair[1], &id))
			return raise_reason(call, RAISED_BADARG);
		*error = objects_open_id(link ? &link_kind : &program_kind, id,
					 opened);
	}
	/* ids are for CAP_SYS_ADMIN, or --no-open-by-id is given */
	return *error != -EPERM || raise_errno(call, *error);
}

bool program_functions_open(struct call *call)
{
	const struct call_context *context = call->context;
	enum handles_lifetime lifetime;
	struct resource *opened = NULL;
	int error;

	if (!objects_read_lifetime(call, 1, &lifetime) ||
	    !call_check_answer(call, CALL_MAX_HANDLE_SIZE))
		return false;
	error = handles_check_capacity(context->common->handles, context->owner,
				       RESOURCE_PROGRAMS, 1);
	if (error == 0 && !open_what(call, &opened, &error))
		return false;
	if (error == AMBIGUOUS)
		return call_write_ambiguous(call);
	if (error < 0)
		return call_write_error(call, error);
	return objects_hold_and_write(call, opened, lifetime, NULL);
}

/* --- Handles ------------------------------------------------------------- */

bool program_functions_close(struct call *call)
{
	const struct resource_kind *kind =
		objects_is_handle(call->args[0], &link_kind) ? &link_kind
							     : &program_kind;

	return objects_close(call, call->args[0], kind, PERMISSION_LOAD,
			     REFUSAL_NOT_LOADED_BY_IT);
}

bool program_functions_type(struct call *call)
{
	const struct resource *resource =
		objects_read_either(call, call->args[0]);

	if (!resource)
		return false;
	objects_write_type(call, resource);
	return true;
}

bool program_functions_pin(struct call *call)
{
	struct resource *resource = objects_read_either(call, call->args[1]);

	if (!resource)
		return false;
	return link_of(resource) && !link_takes_pin(link_of(resource))
		       ? call_write_error(call, -EOPNOTSUPP)
		       : pinning_pin(call, call->args[0], resource);
}

bool program_functions_unpin(struct call *call)
{
	struct resource *resource = objects_read_either(call, call->args[1]);

	return resource && pinning_unpin(call, call->args[0], resource);
}

/* --- count/1 ------------------------------------------------------------- */

bool program_functions_count(struct call *call)
{
	struct program_info info = { 0 };
	int error;
	size_t map;

	if (!objects_read_program(call, call->args[0]))
		return false;
	error = program_count_on(call->program);
	if (error == 0)
		error = program_get_info(call->program, &info);
	if (error < 0)
		return call_write_error(call, error);
	map = term_write_map_open(call->out);
	term_write_entry(call->out, "runs", info.run_count);
	term_write_entry(call->out, "nanoseconds", info.run_time);
	term_write_entry(call->out, "recursion_misses", info.recursion_misses);
	term_write_map_close(call->out, map, 3);
	return true;
}
