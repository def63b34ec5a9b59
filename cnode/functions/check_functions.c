/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks the arguments of new without creating a map:
 *
 *	check(Type, KeySize, ValueSize, MaxEntries[, Options]),
 *	check(Type, KeyLayout, ValueLayout, MaxEntries[, Options])
 *	           -> ok | {error, [Text :: binary()]}
 */
#include <errno.h>
#include <string.h>

#include "bpf/map_rules.h"
#include "bpf/map_types.h"
#include "call/map_options.h"
#include "functions/handlers.h"

static void write_text(const char *text, void *context)
{
	struct call *call = context;

	term_write_binary(call->out, text, strlen(text));
}

/* Writes what is wrong; returns how much. */
static unsigned write_faults(struct call *call,
			     const struct map_options *options, int error)
{
	if (error == 0)
		return map_rules_check(&options->spec, options->name_is_valid,
				       write_text, call);
	write_text(error == VIEWS_NOTYPE
			   ? "a layout {vmlinux, Name} names no type of the "
			     "kernel"
			   : "the layouts are too much: at most 4,096 parts, "
			     "64 KiB of names and 32 levels each",
		   call);
	return 1;
}

bool check_functions_check(struct call *call)
{
	struct term_writer *w = call->out;
	struct map_options options;
	size_t begin = w->pos, list;
	unsigned faults;
	int error;

	if (!map_options_read_new(call, &options, &error) ||
	    (options.plans &&
	     !views_check(call, &options.view, options.plans,
			  map_types_traits(options.spec.type), &error)))
		return false;
	if (error == -ENOMEM)
		return raise_no_memory(call);
	term_write_tuple(w, 2);
	term_write_atom(w, "error");
	list = term_write_list_open(w);
	faults = write_faults(call, &options, error);
	term_write_list_close(w, list, faults);
	if (faults == 0 && !w->failed) {
		term_writer_rewind(w, begin);
		term_write_atom(w, "ok");
	}
	return true;
}
