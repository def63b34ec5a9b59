/* SPDX-License-Identifier: Apache-2.0 */
/*
 * THE table of what is served, and the way from {Module, Function, Arguments}
 * to a result or an exception. A function more is a row here and a handler.
 */
#include "functions.h"

#include <stdlib.h>
#include <string.h>

#include "call.h"
#include "posix.h"

#define MODULE "ebpf_maps"
#define KEPT_CAPACITY 65536 /* of a buffer, from call to call */

static const struct function {
	const char *name;
	uint32_t arity;
	bool (*handler)(struct call *call);
} functions[] = {
	/* map_functions.c */
	{ "new", 4, map_functions_new4 },
	{ "new", 5, map_functions_new5 },
	{ "close", 1, map_functions_close },
	{ "fd", 1, map_functions_fd },
	{ "get", 2, map_functions_get2 },
	{ "get", 3, map_functions_get3 },
	{ "put", 3, map_functions_put },
	{ "update", 3, map_functions_update },
	{ "remove", 2, map_functions_remove },
	{ "take", 2, map_functions_take },
	/* iterator_functions.c */
	{ "iterator", 1, iterator_functions_iterator },
	{ "next", 1, iterator_functions_next },
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
	if (!term_is_atom(module, MODULE))
		return NULL;
	for (size_t i = 0; i < FUNCTIONS; i++)
		if (functions[i].arity == arity &&
		    term_is_atom(function, functions[i].name))
			return &functions[i];
	return NULL;
}

/* Their number; more than FUNCTIONS_MAX_ARITY where no function has so many. */
static uint32_t read_arguments(struct call *call, struct term arguments)
{
	struct term_items items;
	uint32_t n = 0;

	if (!term_list(arguments, &items) || items.left > FUNCTIONS_MAX_ARITY)
		return FUNCTIONS_MAX_ARITY + 1;
	while (n < FUNCTIONS_MAX_ARITY && term_next(&items, &call->args[n]))
		n++;
	return term_end(&items) ? n : FUNCTIONS_MAX_ARITY + 1;
}

static void trim(struct buffer *buffer)
{
	if (buffer->capacity <= KEPT_CAPACITY)
		return;
	free(buffer->octets);
	*buffer = (struct buffer){ .octets = NULL };
}

static void trim_all(struct functions_context *context)
{
	trim(&context->key);
	trim(&context->value);
	trim(&context->batch);
}

void functions_context_fini(struct functions_context *context)
{
	free(context->key.octets);
	free(context->value.octets);
	free(context->batch.octets);
}

bool functions_call(struct call *call, struct term module, struct term function,
		    struct term arguments)
{
	uint32_t arity = read_arguments(call, arguments);
	const struct function *served = find(module, function, arity);
	bool returned;

	if (!served)
		return call_raise(call, RAISED_UNDEF);
	call->map = NULL;
	returned = served->handler(call);
	if (returned && call->out->failed)
		returned = call_raise(call, RAISED_TOO_BIG);
	map_unref(call->map);
	trim_all(call->context);
	return returned;
}

static void write_pair(struct term_writer *w, const char *tag, struct term term)
{
	term_write_tuple(w, 2);
	term_write_atom(w, tag);
	term_write_term(w, term);
}

void functions_write_reason(const struct call *call, struct term_writer *w)
{
	char name[POSIX_NAME_SIZE];

	switch (call->raised.reason) {
	case RAISED_NOTHING:
		term_write_atom(w, "normal");
		break;
	case RAISED_UNDEF:
		term_write_atom(w, "undef");
		break;
	case RAISED_BADARG:
		term_write_atom(w, "badarg");
		break;
	case RAISED_BADKEY:
		write_pair(w, "badkey", call->raised.term);
		break;
	case RAISED_BADMAP:
		write_pair(w, "badmap", call->raised.term);
		break;
	case RAISED_TOO_BIG:
		term_write_tuple(w, 2);
		term_write_atom(w, "too_big");
		term_write_uint(w, call->context->max_message);
		break;
	case RAISED_ERRNO:
		term_write_atom(w, posix_name(call->raised.error, name));
		break;
	}
}
