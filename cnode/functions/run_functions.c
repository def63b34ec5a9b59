/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a program once, or many times, on the caller's input:
 *
 *	run(Program, #{data => binary(), context => binary()},
 *	    [{repeat, 1..1000000} | {cpu, integer()}])
 *	    -> #{return := integer(), nanoseconds := integer(),
 *	         data => binary(), context => binary()}
 *	     | {error, Posix | {loader, _}}
 *
 * In a child of the loader that holds nothing but the program.
 */
#include <errno.h>

#include "bpf/program.h"
#include "call/loading.h"
#include "call/objects.h"
#include "functions/handlers.h"

#define MAX_REPEAT 1000000
#define MAX_CPU 65535

/* --- Input --------------------------------------------------------------- */

static const struct {
	const char *name;
	enum loader_option kind;
} inputs[] = {
	{ "data", LOADER_O_DATA },
	{ "context", LOADER_O_CONTEXT },
};

static bool add_input(struct call *call, struct loading *loading,
		      const struct term pair[2])
{
	const char *bytes;
	size_t size;

	for (size_t i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++) {
		if (!term_is_atom(pair[0], inputs[i].name))
			continue;
		if (!term_read_binary(pair[1], &bytes, &size))
			return loading_wrong(call, "%s is not a binary",
					     inputs[i].name);
		loading_add_bytes(loading, inputs[i].kind, bytes, size);
		return true;
	}
	return loading_wrong(call, "the input has other keys than data and "
				   "context");
}

static bool read_input(struct call *call, struct loading *loading)
{
	struct term_items items;
	struct term pair[2];

	if (!term_map(call->args[1], &items))
		return loading_wrong(call, "the input is not a map");
	while (term_next_some(&items, pair, 2) == 2)
		if (!add_input(call, loading, pair))
			return false;
	return term_end(&items) || raise_reason(call, RAISED_BADARG);
}

static const struct {
	const char *name;
	enum loader_option kind;
	uint32_t least, most;
} numbers[] = {
	{ "repeat", LOADER_O_REPEAT, 1, MAX_REPEAT },
	{ "cpu", LOADER_O_CPU, 0, MAX_CPU },
};

static bool add_option(struct call *call, struct loading *loading,
		       const struct term pair[2])
{
	uint32_t number;

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		if (!term_is_atom(pair[0], numbers[i].name))
			continue;
		if (!term_read_uint32(pair[1], &number) ||
		    number < numbers[i].least || number > numbers[i].most)
			return loading_wrong(call,
					     "%s is not a number from %u to %u",
					     numbers[i].name, numbers[i].least,
					     numbers[i].most);
		loading_add_number(loading, numbers[i].kind, number);
		return true;
	}
	return loading_wrong(call, "an option is none of repeat, cpu");
}

static bool read_options(struct call *call, struct loading *loading)
{
	struct term_items items;
	struct term item, pair[2];

	if (!term_list(call->args[2], &items))
		return raise_reason(call, RAISED_BADARG);
	while (term_next(&items, &item)) {
		if (!term_tuple_of(item, pair, 2))
			return raise_reason(call, RAISED_BADARG);
		if (!add_option(call, loading, pair))
			return false;
	}
	return term_end(&items) || raise_reason(call, RAISED_BADARG);
}

/* --- Results ------------------------------------------------------------- */

static const struct result {
	const char *name;
	enum loader_result kind;
	bool is_binary;
} results[] = {
	{ "return", LOADER_R_RETURN, false },
	{ "nanoseconds", LOADER_R_NANOSECONDS, false },
	{ "data", LOADER_R_DATA, true },
	{ "context", LOADER_R_CONTEXT, true },
};

static bool find(const struct loading *loading, const struct result *result,
		 struct record *record)
{
	size_t at = 0;

	while (loading_next(loading, &at, record))
		if (record->kind == (uint32_t)result->kind)
			return true;
	return false;
}

/* As far as there are any. */
static void write_results(struct call *call, const struct loading *loading)
{
	size_t map = term_write_map_open(call->out);
	struct record record;
	uint32_t n = 0;

	for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
		if (!find(loading, &results[i], &record))
			continue;
		term_write_atom(call->out, results[i].name);
		if (results[i].is_binary)
			term_write_binary(call->out, record.data, record.size);
		else
			term_write_uint(call->out, record.number);
		n++;
	}
	term_write_map_close(call->out, map, n);
}

bool run_functions_run(struct call *call)
{
	struct loading loading;
	bool good, done = false;

	if (!objects_read_program(call, call->args[0]) ||
	    !objects_check_type(call))
		return false;
	loading_init(&loading, LOADER_RUN);
	loading.request.fds = &call->program->resource.fd;
	loading.request.fd_count = 1;
	good = read_input(call, &loading) && read_options(call, &loading) &&
	       loading_ask(call, &loading, &done);
	if (good && !done)
		write_results(call, &loading);
	loading_fini(&loading);
	return good;
}
