/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUNCTIONS_H
#define FUNCTIONS_H

#include <stdio.h>

#include "handles.h"
#include "term.h"

#define FUNCTIONS_MAX_ARITY 5

/* Memory that is kept from call to call. */
struct buffer {
	char *octets;
	size_t capacity;
};

/* What the functions work with, on behalf of one connected node. */
struct functions_context {
	struct handles *handles;
	struct handles_owner *owner;
	size_t max_message; /* also the most that a buffer grows to */
	struct buffer key;
	struct buffer value;
	struct buffer batch;
};

enum raised_reason {
	RAISED_NOTHING,
	RAISED_UNDEF,
	RAISED_BADARG,
	RAISED_BADKEY,  /* {badkey, term} */
	RAISED_BADMAP,  /* {badmap, term} */
	RAISED_TOO_BIG, /* {too_big, max_message} */
	RAISED_ERRNO,   /* error as an atom */
};

/* An exception of class error. */
struct raised {
	enum raised_reason reason;
	struct term term;
	int error;
};

/* One call: what came, where its result goes, and what went wrong. */
struct call {
	struct functions_context *context;
	struct term_writer *out;
	struct term args[FUNCTIONS_MAX_ARITY];
	struct map *map; /* the handle among args; functions_call() drops it */
	struct raised raised;
};

void functions_context_fini(struct functions_context *context);

/*
 * Calls module:function with a list of arguments: writes its result to
 * call->out and returns true; or sets call->raised and returns false, when
 * anything may have been written.
 */
bool functions_call(struct call *call, struct term module, struct term function,
		    struct term arguments);

/* Writes the reason of an exception as a term. */
void functions_write_reason(const struct call *call, struct term_writer *w);

/* All that is served: a line "Module:Name/Arity" each. */
void functions_print(FILE *file);

#endif
