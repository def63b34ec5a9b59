/* SPDX-License-Identifier: Apache-2.0 */
/*
 * THE table of what is served, and the way from {Module, Function, Arguments}
 * to a result or an exception. A function more is a row here and a handler.
 */
#include "functions/functions.h"

#include <errno.h>
#include <string.h>

#include "base/log_fields.h"
#include "base/posix.h"
#include "call/refusal.h"
#include "functions/handlers.h"

#define MODULE CALL_MODULE

static const struct function {
	char name[16]; /* filled up with zeros */
	uint32_t arity;
	enum permission needs; /* open sees for itself by which options */
	enum located located;  /* no more than it takes */
	bool (*handler)(struct call *call);
} functions[] = {
	/* entry_functions.c */
	{ "get", 2, PERMISSION_READ, LOCATED_TO_READ, entry_functions_get2 },
	{ "get", 3, PERMISSION_READ, LOCATED_TO_READ, entry_functions_get3 },
	{ "find", 2, PERMISSION_READ, LOCATED_TO_READ, entry_functions_find },
	{ "is_key", 2, PERMISSION_READ, LOCATED_TO_READ,
	  entry_functions_is_key },
	{ "put", 3, PERMISSION_WRITE, LOCATED_TO_WRITE, entry_functions_put },
	{ "insert", 3, PERMISSION_WRITE, LOCATED_TO_WRITE,
	  entry_functions_insert },
	{ "update", 3, PERMISSION_WRITE, LOCATED_TO_WRITE,
	  entry_functions_update },
	{ "remove", 2, PERMISSION_WRITE, LOCATED_TO_WRITE,
	  entry_functions_remove },
	{ "take", 2, PERMISSION_WRITE, LOCATED_TO_WRITE, entry_functions_take },
	{ "push", 2, PERMISSION_WRITE, LOCATED_TO_WRITE, entry_functions_push },
	{ "pop", 1, PERMISSION_WRITE, LOCATED_TO_WRITE, entry_functions_pop },
	{ "peek", 1, PERMISSION_READ, LOCATED_TO_READ, entry_functions_peek },
	/* map_functions.c */
	{ "new", 4, PERMISSION_WRITE, LOCATED_NEVER, map_functions_new },
	{ "new", 5, PERMISSION_WRITE, LOCATED_NEVER, map_functions_new },
	{ "close", 1, PERMISSION_READ, LOCATED_NEVER, map_functions_close },
	{ "fd", 1, PERMISSION_READ, LOCATED_NEVER, map_functions_fd },
	{ "open", 1, PERMISSION_READ, LOCATED_NEVER, map_functions_open1 },
	{ "open", 2, PERMISSION_READ, LOCATED_NEVER, map_functions_open2 },
	{ "type", 1, PERMISSION_READ, LOCATED_TO_READ, map_functions_type },
	{ "pin", 2, PERMISSION_WRITE, LOCATED_TO_READ, map_functions_pin },
	{ "unpin", 2, PERMISSION_WRITE, LOCATED_TO_READ, map_functions_unpin },
	{ "freeze", 1, PERMISSION_WRITE, LOCATED_TO_WRITE,
	  map_functions_freeze },
	/* check_functions.c */
	{ "check", 4, PERMISSION_READ, LOCATED_NEVER, check_functions_check },
	{ "check", 5, PERMISSION_READ, LOCATED_NEVER, check_functions_check },
	/* features_functions.c */
	{ "features", 0, PERMISSION_READ, LOCATED_NEVER,
	  features_functions_features },
	/* host_functions.c */
	{ "list", 0, PERMISSION_READ, LOCATED_NEVER, host_functions_list },
	{ "info", 1, PERMISSION_READ, LOCATED_TO_READ, host_functions_info },
	{ "handles", 0, PERMISSION_READ, LOCATED_NEVER,
	  host_functions_handles },
	/* stats_functions.c */
	{ "stats", 0, PERMISSION_READ, LOCATED_NEVER, stats_functions_stats },
	/* walk_functions.c */
	{ "iterator", 1, PERMISSION_READ, LOCATED_NEVER,
	  walk_functions_iterator },
	{ "next", 1, PERMISSION_READ, LOCATED_NEVER, walk_functions_next },
	{ "next_chunk", 3, PERMISSION_READ, LOCATED_NEVER,
	  walk_functions_next_chunk },
	{ "drain_chunk", 3, PERMISSION_WRITE, LOCATED_NEVER,
	  walk_functions_drain_chunk },
	/* whole_functions.c */
	{ "keys", 1, PERMISSION_READ, LOCATED_TO_READ, whole_functions_keys },
	{ "values", 1, PERMISSION_READ, LOCATED_TO_READ,
	  whole_functions_values },
	{ "to_list", 1, PERMISSION_READ, LOCATED_TO_READ,
	  whole_functions_to_list },
	{ "size", 1, PERMISSION_READ, LOCATED_TO_READ, whole_functions_size },
	{ "clear", 1, PERMISSION_WRITE, LOCATED_TO_WRITE,
	  whole_functions_clear },
	{ "drain", 1, PERMISSION_WRITE, LOCATED_TO_WRITE,
	  whole_functions_drain },
	/* many_functions.c */
	{ "with", 2, PERMISSION_READ, LOCATED_TO_READ, many_functions_with },
	{ "without", 2, PERMISSION_WRITE, LOCATED_TO_WRITE,
	  many_functions_without },
	{ "merge", 2, PERMISSION_WRITE, LOCATED_TO_WRITE,
	  many_functions_merge },
};

#define FUNCTIONS (sizeof(functions) / sizeof(functions[0]))

void functions_print(FILE *file)
{
	for (size_t i = 0; i < FUNCTIONS; i++)
		fprintf(file, MODULE ":%s/%u\n", functions[i].name,
			functions[i].arity);
}

static const struct function *find(struct term module, struct term function,
				   uint32_t arity)
{
	char name[sizeof(functions[0].name)] = "";
	const char *text;
	size_t size;

	/* what ends in a zero would be a shorter name, filled up */
	if (!term_is_atom(module, MODULE) ||
	    !term_read_atom(function, &text, &size) || size == 0 ||
	    size >= sizeof(name) || !text[size - 1])
		return NULL;
	memcpy(name, text, size);
	for (size_t i = 0; i < FUNCTIONS; i++)
		if (functions[i].arity == arity &&
		    memcmp(functions[i].name, name, sizeof(name)) == 0)
			return &functions[i];
	return NULL;
}

/* An answer can fail in two ways: it is too long, or a part has raised. */
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

/* Whose lines this thread logs: a node, and what it asks for just now. */
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

static bool serve(struct call *call, const struct function *served)
{
	bool returned;

	if (served->needs > call->context->permission)
		return refusal_raise(call, REFUSAL_MAY_ONLY_READ, NULL);
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
	call->located = served->located;
	call->context->served = call;
	returned = serve(call, served);
	call->context->served = NULL;
	return returned;
}

/* --- The rows ----------------------------------------------------------- */

_Static_assert(FUNCTIONS <= STATS_FUNCTIONS, "there is a count for each");

bool functions_name(size_t row, struct function_name *name)
{
	if (row >= FUNCTIONS)
		return false;
	*name = (struct function_name){ functions[row].name,
					functions[row].arity };
	return true;
}
