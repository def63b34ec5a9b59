/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUNCTIONS_H
#define FUNCTIONS_H

#include <stdio.h>

#include "call/call.h"

/* Rows of one module stand together. */
struct function_name {
	const char *module;
	const char *name;
	uint32_t arity;
};

/* False past the last row of the table. */
bool functions_name(size_t row, struct function_name *name);

bool functions_has_module(struct term module);

/*
 * What this thread logs from now on is of the node of that context, and while
 * a call is served of that. There is no end to it but that of the thread.
 */
void functions_log_for(const struct call_context *context);

/*
 * Calls module:function with as many of call->args; an arity above
 * CALL_MAX_ARITY is that of no function. Writes its result to call->out
 * and returns true; or sets call->raised and returns false, when anything may
 * have been written.
 */
bool functions_call(struct call *call, struct term module, struct term function,
		    uint32_t arity);

/* All that is served: a line "Module:Name/Arity" each. */
void functions_print(FILE *file);

#endif
