/* SPDX-License-Identifier: Apache-2.0 */
/*
 * THE table of functions, and the way from {Module, Function, Arguments} to a
 * result or an exception. To add a function, add a row here and a handler.
 */
#include "functions/functions.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/log_fields.h"
#include "base/posix.h"
#include "call/refusal.h"
#include "functions/handlers.h"

#define MAPS "ebpf_maps"
#define PROGRAMS "ebpf_programs"
#define EVENTS "ebpf_events"

enum module {
	EBPF_MAPS,
	EBPF_PROGRAMS,
	EBPF_EVENTS,
	NO_MODULE,
};

static const char *const modules[] = {
	[EBPF_MAPS] = MAPS,
	[EBPF_PROGRAMS] = PROGRAMS,
	[EBPF_EVENTS] = EVENTS,
};

static const struct function {
	uint8_t module;
	char name[22]; /* padded with zeros */
	uint8_t arity;
	enum permission needs; /* open itself checks its options */
	enum located located;  /* the least that the function needs */
	bool (*handler)(struct call *call);
} functions[] = {
	/* entry_functions.c */
	{ EBPF_MAPS, "get", 2, PERMISSION_READ, LOCATED_TO_READ,
	  entry_functions_get2 },
	{ EBPF_MAPS, "get", 3, PERMISSION_READ, LOCATED_TO_READ,
	  entry_functions_get3 },
	{ EBPF_MAPS, "find", 2, PERMISSION_READ, LOCATED_TO_READ,
	  entry_functions_find },
	{ EBPF_MAPS, "is_key", 2, PERMISSION_READ, LOCATED_TO_READ,
	  entry_functions_is_key },
	{ EBPF_MAPS, "put", 3, PERMISSION_WRITE, LOCATED_TO_WRITE,
	  entry_functions_put },
	{ EBPF_MAPS, "insert", 3, PERMISSION_WRITE, LOCATED_TO_WRITE,
	  entry_functions_insert },
	{ EBPF_MAPS, "update", 3, PERMISSION_WRITE, LOCATED_TO_WRITE,
	  entry_functions_update },
	{ EBPF_MAPS, "remove", 2, PERMISSION_WRITE, LOCATED_TO_WRITE,
	  entry_functions_remove },
	{ EBPF_MAPS, "take", 2, PERMISSION_WRITE, LOCATED_TO_WRITE,
	  entry_functions_take },
	{ EBPF_MAPS, "push", 2, PERMISSION_WRITE, LOCATED_TO_WRITE,
	  entry_functions_push },
	{ EBPF_MAPS, "pop", 1, PERMISSION_WRITE, LOCATED_TO_WRITE,
	  entry_functions_pop },
	{ EBPF_MAPS, "peek", 1, PERMISSION_READ, LOCATED_TO_READ,
	  entry_functions_peek },
	/* map_functions.c */
	{ EBPF_MAPS, "new", 4, PERMISSION_WRITE, LOCATED_NEVER,
	  map_functions_new },
	{ EBPF_MAPS, "new", 5, PERMISSION_WRITE, LOCATED_NEVER,
	  map_functions_new },
	{ EBPF_MAPS, "close", 1, PERMISSION_READ, LOCATED_NEVER,
	  map_functions_close },
	{ EBPF_MAPS, "fd", 1, PERMISSION_READ, LOCATED_NEVER,
	  map_functions_fd },
	{ EBPF_MAPS, "open", 1, PERMISSION_READ, LOCATED_NEVER,
	  map_functions_open1 },
	{ EBPF_MAPS, "open", 2, PERMISSION_READ, LOCATED_NEVER,
	  map_functions_open2 },
	{ EBPF_MAPS, "type", 1, PERMISSION_READ, LOCATED_TO_READ,
	  map_functions_type },
	{ EBPF_MAPS, "pin", 2, PERMISSION_WRITE, LOCATED_TO_READ,
	  map_functions_pin },
	{ EBPF_MAPS, "unpin", 2, PERMISSION_WRITE, LOCATED_TO_READ,
	  map_functions_unpin },
	{ EBPF_MAPS, "freeze", 1, PERMISSION_WRITE, LOCATED_TO_WRITE,
	  map_functions_freeze },
	/* type_functions.c */
	{ EBPF_MAPS, "typed", 2, PERMISSION_READ, LOCATED_NEVER,
	  type_functions_typed },
	{ EBPF_MAPS, "types", 1, PERMISSION_READ, LOCATED_TO_READ,
	  type_functions_types },
	/* check_functions.c */
	{ EBPF_MAPS, "check", 4, PERMISSION_READ, LOCATED_NEVER,
	  check_functions_check },
	{ EBPF_MAPS, "check", 5, PERMISSION_READ, LOCATED_NEVER,
	  check_functions_check },
	/* features_functions.c */
	{ EBPF_MAPS, "features", 0, PERMISSION_READ, LOCATED_NEVER,
	  features_functions_features },
	/* facts_functions.c */
	{ EBPF_MAPS, "host", 0, PERMISSION_READ, LOCATED_NEVER,
	  facts_functions_host },
	/* host_functions.c */
	{ EBPF_MAPS, "list", 0, PERMISSION_READ, LOCATED_NEVER,
	  host_functions_list },
	{ EBPF_MAPS, "info", 1, PERMISSION_READ, LOCATED_TO_READ,
	  host_functions_info },
	{ EBPF_MAPS, "handles", 0, PERMISSION_READ, LOCATED_NEVER,
	  host_functions_handles },
	/* stats_functions.c */
	{ EBPF_MAPS, "stats", 0, PERMISSION_READ, LOCATED_NEVER,
	  stats_functions_stats },
	/* walk_functions.c */
	{ EBPF_MAPS, "iterator", 1, PERMISSION_READ, LOCATED_NEVER,
	  walk_functions_iterator },
	{ EBPF_MAPS, "next", 1, PERMISSION_READ, LOCATED_NEVER,
	  walk_functions_next },
	{ EBPF_MAPS, "next_chunk", 3, PERMISSION_READ, LOCATED_NEVER,
	  walk_functions_next_chunk },
	{ EBPF_MAPS, "drain_chunk", 3, PERMISSION_WRITE, LOCATED_NEVER,
	  walk_functions_drain_chunk },
	/* whole_functions.c */
	{ EBPF_MAPS, "keys", 1, PERMISSION_READ, LOCATED_TO_READ,
	  whole_functions_keys },
	{ EBPF_MAPS, "values", 1, PERMISSION_READ, LOCATED_TO_READ,
	  whole_functions_values },
	{ EBPF_MAPS, "to_list", 1, PERMISSION_READ, LOCATED_TO_READ,
	  whole_functions_to_list },
	{ EBPF_MAPS, "size", 1, PERMISSION_READ, LOCATED_TO_READ,
	  whole_functions_size },
	{ EBPF_MAPS, "clear", 1, PERMISSION_WRITE, LOCATED_TO_WRITE,
	  whole_functions_clear },
	{ EBPF_MAPS, "drain", 1, PERMISSION_WRITE, LOCATED_TO_WRITE,
	  whole_functions_drain },
	/* rank_functions.c */
	{ EBPF_MAPS, "top", 3, PERMISSION_READ, LOCATED_TO_READ,
	  rank_functions_top },
	{ EBPF_MAPS, "sum", 2, PERMISSION_READ, LOCATED_TO_READ,
	  rank_functions_sum },
	/* many_functions.c */
	{ EBPF_MAPS, "with", 2, PERMISSION_READ, LOCATED_TO_READ,
	  many_functions_with },
	{ EBPF_MAPS, "without", 2, PERMISSION_WRITE, LOCATED_TO_WRITE,
	  many_functions_without },
	{ EBPF_MAPS, "merge", 2, PERMISSION_WRITE, LOCATED_TO_WRITE,
	  many_functions_merge },
	/* load_functions.c */
	{ EBPF_PROGRAMS, "load", 2, PERMISSION_LOAD, LOCATED_NEVER,
	  load_functions_object },
	{ EBPF_PROGRAMS, "load", 3, PERMISSION_LOAD, LOCATED_NEVER,
	  load_functions_instructions },
	/* link_functions.c */
	{ EBPF_PROGRAMS, "attach", 2, PERMISSION_LOAD, LOCATED_NEVER,
	  link_functions_attach },
	{ EBPF_PROGRAMS, "attach", 3, PERMISSION_LOAD, LOCATED_NEVER,
	  link_functions_attach },
	{ EBPF_PROGRAMS, "detach", 1, PERMISSION_LOAD, LOCATED_NEVER,
	  link_functions_detach },
	{ EBPF_PROGRAMS, "update", 2, PERMISSION_LOAD, LOCATED_NEVER,
	  link_functions_update },
	/* run_functions.c */
	{ EBPF_PROGRAMS, "run", 3, PERMISSION_LOAD, LOCATED_NEVER,
	  run_functions_run },
	/* program_functions.c */
	{ EBPF_PROGRAMS, "open", 1, PERMISSION_LOAD, LOCATED_NEVER,
	  program_functions_open },
	{ EBPF_PROGRAMS, "open", 2, PERMISSION_LOAD, LOCATED_NEVER,
	  program_functions_open },
	{ EBPF_PROGRAMS, "pin", 2, PERMISSION_LOAD, LOCATED_NEVER,
	  program_functions_pin },
	{ EBPF_PROGRAMS, "unpin", 2, PERMISSION_LOAD, LOCATED_NEVER,
	  program_functions_unpin },
	{ EBPF_PROGRAMS, "close", 1, PERMISSION_READ, LOCATED_NEVER,
	  program_functions_close },
	{ EBPF_PROGRAMS, "type", 1, PERMISSION_READ, LOCATED_NEVER,
	  program_functions_type },
	{ EBPF_PROGRAMS, "count", 1, PERMISSION_WRITE, LOCATED_NEVER,
	  program_functions_count },
	/* loaded_functions.c */
	{ EBPF_PROGRAMS, "info", 1, PERMISSION_READ, LOCATED_NEVER,
	  loaded_functions_info },
	{ EBPF_PROGRAMS, "list", 0, PERMISSION_READ, LOCATED_NEVER,
	  loaded_functions_list },
	{ EBPF_PROGRAMS, "links", 0, PERMISSION_READ, LOCATED_NEVER,
	  loaded_functions_links },
	{ EBPF_PROGRAMS, "handles", 0, PERMISSION_READ, LOCATED_NEVER,
	  loaded_functions_handles },
	/* event_functions.c */
	{ EBPF_EVENTS, "subscribe", 2, PERMISSION_WRITE, LOCATED_TO_WRITE,
	  event_functions_subscribe },
	{ EBPF_EVENTS, "subscribe", 3, PERMISSION_WRITE, LOCATED_TO_WRITE,
	  event_functions_subscribe },
	{ EBPF_EVENTS, "unsubscribe", 1, PERMISSION_READ, LOCATED_NEVER,
	  event_functions_unsubscribe },
	{ EBPF_EVENTS, "subscriptions", 0, PERMISSION_READ, LOCATED_NEVER,
	  event_functions_subscriptions },
	{ EBPF_EVENTS, "subscriptions", 1, PERMISSION_READ, LOCATED_TO_READ,
	  event_functions_subscriptions },
	{ EBPF_EVENTS, "push", 2, PERMISSION_WRITE, LOCATED_TO_WRITE,
	  event_functions_push },
};

#define FUNCTIONS (sizeof(functions) / sizeof(functions[0]))
/* find() compares this much of a row. */
#define KEY_SIZE offsetof(struct function, needs)

_Static_assert(KEY_SIZE == 24, "no padding in it");

void functions_print(FILE *file)
{
	struct function_name function;

	for (size_t i = 0; functions_name(i, &function); i++)
		fprintf(file, "%s:%s/%u\n", function.module, function.name,
			function.arity);
}

/* Each request comes here: with constants, no name is measured. */
static bool read_module(struct term t, uint8_t *module)
{
	*module = term_is_atom(t, MAPS)       ? EBPF_MAPS
		  : term_is_atom(t, EVENTS)   ? EBPF_EVENTS
		  : term_is_atom(t, PROGRAMS) ? EBPF_PROGRAMS
					      : NO_MODULE;
	return *module != NO_MODULE;
}

bool functions_has_module(struct term module)
{
	uint8_t found;

	return read_module(module, &found);
}

static const struct function *find(struct term module, struct term function,
				   uint32_t arity)
{
	struct function key = { .arity = (uint8_t)arity };
	const char *text;
	size_t size;

	/* a name that ends in a zero would match a shorter one */
	if (arity > CALL_MAX_ARITY || !read_module(module, &key.module) ||
	    !term_read_atom(function, &text, &size) || size == 0 ||
	    size >= sizeof(key.name) || !text[size - 1])
		return NULL;
	memcpy(key.name, text, size);
	for (size_t i = 0; i < FUNCTIONS; i++)
		if (memcmp(&functions[i], &key, KEY_SIZE) == 0)
			return &functions[i];
	return NULL;
}

/* The writer fails when memory or length runs out, or when a part raises. */
static bool check_answer(struct call *call)
{
	if (!call->out->failed)
		return true;
	if (call->out->no_memory)
		raise_no_memory(call);
	else if (call->raised.reason == RAISED_NOTHING)
		raise_reason(call, RAISED_TOO_BIG);
	return false;
}

/* --- Calls -------------------------------------------------------------- */

/* The origin of this thread's log lines: a node, and its current call. */
static void describe(struct log_fields *fields, const void *context)
{
	const struct call_context *of = context;
	const struct call *call = of->served;
	erlang_pid pid;

	log_fields_text(fields, "node", of->peer);
	if (!call)
		return;
	if (term_read_pid(call->caller, &pid))
		log_fields_format(fields, "pid", "<%u.%u>", pid.num,
				  pid.serial);
	log_fields_format(fields, "function", "%s/%u", call->function,
			  call->arity);
}

void functions_log_for(const struct call_context *context)
{
	log_fields_set_origin(describe, context);
}

static bool may_call(struct call *call, const struct function *served)
{
	enum permission has = call->context->permission;

	if (served->module == EBPF_PROGRAMS && !call->context->common->loader)
		return refusal_raise(call, REFUSAL_NO_PROGRAMS, NULL);
	return served->needs <= has ||
	       refusal_raise(call,
			     served->needs == PERMISSION_LOAD
				     ? REFUSAL_MAY_NOT_LOAD
				     : REFUSAL_MAY_ONLY_READ,
			     NULL);
}

static bool serve(struct call *call, const struct function *served)
{
	bool returned;

	if (!may_call(call, served))
		return false;
	call->key_fd = call->value_fd = -1;
	returned = served->handler(call) && check_answer(call);
	call_end(call);
	return returned;
}

bool functions_call(struct call *call, struct term module, struct term function,
		    uint32_t arity)
{
	const struct function *served = find(module, function, arity);
	bool returned;

	if (!served)
		return raise_reason(call, RAISED_UNDEF);
	stats_add(&call->context->stats->requests[served - functions], 1);
	call->function = served->name;
	call->arity = arity;
	call->of_programs = served->module == EBPF_PROGRAMS;
	call->located = served->located;
	call->context->served = call;
	returned = serve(call, served);
	call->context->served = NULL;
	return returned;
}

/* --- The rows ----------------------------------------------------------- */

_Static_assert(FUNCTIONS <= STATS_FUNCTIONS, "a count for each row");

bool functions_name(size_t row, struct function_name *name)
{
	if (row >= FUNCTIONS)
		return false;
	*name = (struct function_name){ modules[functions[row].module],
					functions[row].name,
					functions[row].arity };
	return true;
}

bool functions_needs_module(const struct function_name *name)
{
	return name->module != modules[EBPF_MAPS];
}
