/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUNCTIONS_H
#define FUNCTIONS_H

#include <stdio.h>

#include "call/call.h"

/* A row of the table. The rows of a module are adjacent. */
struct function_name {
	const char *module;
	const char *name;
	uint32_t arity;
};

/* In counts and logs a name without a module is one of ebpf_maps. */
bool functions_needs_module(const struct function_name *name);

/* False past the last row of the table. */
bool functions_name(size_t row, struct function_name *name);

bool functions_has_module(struct term module);

/*
 * Makes each line that this thread logs name the node of the context, and its
 * call while one is served. Lasts until the thread ends.
 */
void functions_log_for(const struct call_context *context);

/*
 * Calls module:function/arity with call->args; no function has an arity above
 * CALL_MAX_ARITY. Writes the result to call->out and returns true; or sets
 * call->raised and returns false, and call->out holds garbage.
 */
bool functions_call(struct call *call, struct term module, struct term function,
		    uint32_t arity);

/* Prints a line "Module:Name/Arity" for each function. */
void functions_print(FILE *file);

#endif
