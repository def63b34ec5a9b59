/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handles of all kinds of objects:
 *
 *	ebpf_map() = {ebpf_map, reference(), Type, KeySize, ValueSize,
 *	              MaxEntries}
 *	program()  = {ebpf_program, reference(), Type, Name :: binary()}
 *	link()     = {ebpf_link, reference(), Kind, Target}
 *
 * Of a handle that comes in, only its tag and the reference count.
 */
#include "call/objects.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/link.h"
#include "bpf/program.h"
#include "bpf/program_words.h"
#include "call/loading.h"

/* of a handle, around the name of its node and the rest */
#define HANDLE_MARGIN 64

/* --- Writing ------------------------------------------------------------- */

static void write_name_or_number(struct call *call, const char *name,
				 uint32_t number)
{
	if (name)
		term_write_atom(call->out, name);
	else
		term_write_uint(call->out, number);
}

static void write_map(struct call *call, const struct resource *resource,
		      const erlang_ref *ref)
{
	const struct map *map = (const struct map *)resource;

	term_write_tuple(call->out, 6);
	term_write_atom(call->out, "ebpf_map");
	term_write_ref(call->out, ref);
	call_write_type(call, map->type);
	term_write_uint(call->out, map->key_size);
	term_write_uint(call->out, map->value_size);
	term_write_uint(call->out, map->max_entries);
}

void objects_write_type(struct call *call, const struct resource *resource)
{
	uint32_t type;

	if (resource->kind == &link_kind) {
		type = ((const struct link *)resource)->type;
		write_name_or_number(call, link_type_name(type), type);
	} else {
		type = ((const struct program *)resource)->type;
		write_name_or_number(call, program_type_name(type), type);
	}
}

static void write_program(struct call *call, const struct resource *resource,
			  const erlang_ref *ref)
{
	const struct program *program = (const struct program *)resource;
	const char *name = program_name(program);

	term_write_tuple(call->out, 4);
	term_write_atom(call->out, "ebpf_program");
	term_write_ref(call->out, ref);
	objects_write_type(call, resource);
	term_write_binary(call->out, name, strlen(name));
}

static void write_link(struct call *call, const struct resource *resource,
		       const erlang_ref *ref)
{
	const struct link *link = (const struct link *)resource;

	term_write_tuple(call->out, 4);
	term_write_atom(call->out, "ebpf_link");
	term_write_ref(call->out, ref);
	objects_write_type(call, resource);
	if (link->target)
		term_write_raw(call->out, link->target, link->target_size);
	else
		term_write_atom(call->out, "none");
}

/* --- Shapes -------------------------------------------------------------- */

static const struct shape {
	const struct resource_kind *kind;
	const char *tag;
	enum raised_reason bad;
	void (*write)(struct call *call, const struct resource *resource,
		      const erlang_ref *ref);
} shapes[] = {
	{ &map_kind, "ebpf_map", RAISED_BADMAP, write_map },
	{ &program_kind, "ebpf_program", RAISED_BADPROGRAM, write_program },
	{ &link_kind, "ebpf_link", RAISED_BADLINK, write_link },
};

static const struct shape *shape_of(const struct resource_kind *kind)
{
	const struct shape *shape = shapes;

	while (shape->kind != kind)
		shape++;
	return shape;
}

static bool open_handle(struct term t, const struct resource_kind *kind,
			struct term parts[2])
{
	struct term_items items;

	return term_tuple(t, &items) && term_next_some(&items, parts, 2) > 0 &&
	       term_is_atom(parts[0], shape_of(kind)->tag);
}

bool objects_is_handle(struct term t, const struct resource_kind *kind)
{
	struct term parts[2];

	return open_handle(t, kind, parts);
}

bool objects_read_ref(struct term t, const struct resource_kind *kind,
		      erlang_ref *ref)
{
	struct term parts[2] = { { .at = NULL } };

	return open_handle(t, kind, parts) && term_read_ref(parts[1], ref);
}

void objects_write_handle(struct call *call, const struct resource *resource,
			  const erlang_ref *ref)
{
	shape_of(resource->kind)->write(call, resource, ref);
}

size_t objects_handle_size(const struct resource *resource)
{
	size_t size = CALL_MAX_HANDLE_SIZE + HANDLE_MARGIN;

	if (resource->kind == &program_kind)
		size += strlen(program_name((const struct program *)resource));
	else if (resource->kind == &link_kind)
		size += ((const struct link *)resource)->target_size;
	return size;
}

/* --- Reading ------------------------------------------------------------- */

struct resource *objects_get(const struct call *call, const erlang_ref *ref,
			     const struct resource_kind *kind)
{
	struct resource *resource =
		handles_get(call->context->common->handles, ref);

	if (!resource || resource->kind == kind)
		return resource;
	resource_unref(resource);
	return NULL;
}

struct resource *objects_try(const struct call *call, struct term t,
			     const struct resource_kind *kind)
{
	erlang_ref ref;

	return objects_read_ref(t, kind, &ref) ? objects_get(call, &ref, kind)
					       : NULL;
}

struct resource *objects_read(struct call *call, struct term t,
			      const struct resource_kind *kind)
{
	struct resource *resource = objects_try(call, t, kind);

	if (!resource)
		raise_term(call, shape_of(kind)->bad, t);
	return resource;
}

struct resource *objects_find(const struct call *call, struct term t)
{
	struct resource *resource = NULL;

	for (size_t i = 0; !resource && i < sizeof(shapes) / sizeof(shapes[0]);
	     i++)
		resource = objects_try(call, t, shapes[i].kind);
	return resource;
}

bool objects_read_program(struct call *call, struct term t)
{
	if (call->program)
		resource_unref(&call->program->resource);
	call->program = program_of(objects_read(call, t, &program_kind));
	return call->program;
}

bool objects_read_link(struct call *call, struct term t)
{
	if (call->link)
		resource_unref(&call->link->resource);
	call->link = link_of(objects_read(call, t, &link_kind));
	return call->link;
}

struct resource *objects_read_either(struct call *call, struct term t)
{
	if (objects_is_handle(t, &link_kind))
		return objects_read_link(call, t) ? &call->link->resource
						  : NULL;
	return objects_read_program(call, t) ? &call->program->resource : NULL;
}

bool objects_check_type(struct call *call)
{
	return program_words_allow(call->context->common->program_words,
				   call->program->type) ||
	       refusal_raise(call, REFUSAL_PROGRAM_TYPE, NULL);
}

bool objects_read_lifetime(struct call *call, uint32_t place,
			   enum handles_lifetime *lifetime)
{
	struct term_items items;
	struct term item, pair[2];

	*lifetime = HANDLES_NODE;
	if (call->arity <= place)
		return true;
	if (!term_list(call->args[place], &items))
		return raise_reason(call, RAISED_BADARG);
	while (term_next(&items, &item)) {
		if (!term_tuple_of(item, pair, 2) ||
		    !term_is_atom(pair[0], "lifetime"))
			return loading_wrong(call, "the only option is "
						   "{lifetime, _}");
		if (!call_read_lifetime(call, pair[1], lifetime))
			return false;
	}
	return term_end(&items) || raise_reason(call, RAISED_BADARG);
}

int objects_open_id(const struct resource_kind *kind, uint32_t id,
		    struct resource **opened)
{
	struct program *program = NULL;
	struct link *link = NULL;
	int error = kind == &link_kind ? link_open_id(id, &link)
				       : program_open_id(id, &program);

	if (error == 0)
		*opened = link ? &link->resource : &program->resource;
	return error;
}

/* --- Making and ending --------------------------------------------------- */

/* A place for the reference of one more that ends with the caller. */
static bool make_room(struct call *call)
{
	erlang_ref *watched = realloc(call->watched, (call->watched_count + 1) *
							     sizeof(*watched));

	if (watched)
		call->watched = watched;
	return watched;
}

int objects_hold(struct call *call, struct resource *resource,
		 enum handles_lifetime lifetime,
		 struct handles_reservation *reservation, erlang_ref *ref)
{
	struct call_context *context = call->context;
	struct handles_lease lease = {
		.lifetime = lifetime,
		.process = call->caller.at,
		.process_size = call->caller.size,
		.reservation = reservation,
	};
	int error = -ENOMEM;

	if (lifetime != HANDLES_PROCESS || make_room(call))
		error = handles_add(context->common->handles, context->owner,
				    resource, &lease, ref);
	if (error < 0)
		resource_unref(resource);
	else if (lifetime == HANDLES_PROCESS)
		call->watched[call->watched_count++] = *ref;
	return error;
}

bool objects_hold_and_write(struct call *call, struct resource *resource,
			    enum handles_lifetime lifetime,
			    struct handles_reservation *reservation)
{
	erlang_ref ref;
	int error;

	/* another thread may end the handle at once */
	resource_ref(resource);
	error = objects_hold(call, resource, lifetime, reservation, &ref);
	if (error < 0)
		call_write_error(call, error);
	else
		objects_write_handle(call, resource, &ref);
	resource_unref(resource);
	return true;
}

/* Whether the reference is live, and of another kind of object. */
static bool is_of_another_kind(const struct call *call, const erlang_ref *ref,
			       const struct resource_kind *kind)
{
	struct resource *resource =
		handles_get(call->context->common->handles, ref);
	bool other = resource && resource->kind != kind;

	resource_unref(resource);
	return other;
}

void objects_end(struct call *call, struct term t,
		 const struct resource_kind *kind)
{
	const struct call_context *context = call->context;

	if (objects_read_ref(t, kind, &call->ref))
		handles_close(context->common->handles, context->owner,
			      &call->ref, false, &call->unwatch);
}

bool objects_close(struct call *call, struct term t,
		   const struct resource_kind *kind, enum permission others,
		   enum refusal refusal)
{
	const struct call_context *context = call->context;
	int error = -EBADF;

	if (!objects_is_handle(t, kind))
		return raise_term(call, shape_of(kind)->bad, t);
	if (objects_read_ref(t, kind, &call->ref) &&
	    !is_of_another_kind(call, &call->ref, kind))
		error = handles_close(context->common->handles, context->owner,
				      &call->ref, context->permission < others,
				      &call->unwatch);
	return error == -EACCES ? refusal_raise(call, refusal, NULL)
				: call_write_ok(call, error);
}
