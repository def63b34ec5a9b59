/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks the arguments of new without creating a map:
 *
 *	check(Type, KeySize, ValueSize, MaxEntries[, Options])
 *	           -> ok | {error, [Text :: binary()]}
 */
#include <string.h>

#include "bpf/map_rules.h"
#include "call/map_options.h"
#include "functions/handlers.h"

static void write_text(const char *text, void *context)
{
	struct call *call = context;

	term_write_binary(call->out, text, strlen(text));
}

bool check_functions_check(struct call *call)
{
	struct term_writer *w = call->out;
	struct map_options options;
	size_t begin = w->pos, list;
	unsigned faults;

	if (!map_options_read_new(call, &options))
		return false;
	term_write_tuple(w, 2);
	term_write_atom(w, "error");
	list = term_write_list_open(w);
	faults = map_rules_check(&options.spec, options.name_is_valid,
				 write_text, call);
	term_write_list_close(w, list, faults);
	if (faults == 0 && !w->failed) {
		term_writer_rewind(w, begin);
		term_write_atom(w, "ok");
	}
	return true;
}
