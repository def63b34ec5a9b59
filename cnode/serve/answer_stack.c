/* SPDX-License-Identifier: Apache-2.0 */
/* Stacks of one frame, that of the failed call, as a BEAM node's erpc has. */
#include "serve/answer_stack.h"

/* Longer arguments become their number, except in an undef. */
#define MAX_STACK_ARGUMENTS 65536

/* Whether the stack has the number of arguments instead of the arguments. */
static bool is_too_long(const struct request *request,
			enum raised_reason reason)
{
	return request->cut_short ||
	       (reason != RAISED_UNDEF &&
		request->arguments.size > MAX_STACK_ARGUMENTS);
}

static void write_mfa(struct term_writer *w, const struct request *request,
		      bool brief)
{
	struct term_items items;

	term_write_term(w, request->module);
	term_write_term(w, request->function);
	if (brief && term_list(request->arguments, &items))
		term_write_uint(w, items.left);
	else
		term_write_term(w, request->arguments);
}

/* erlang:apply of a fun, or of a module and function, that failed */
static void write_apply(struct term_writer *w, const struct request *request,
			bool brief)
{
	bool fun = request->frame != REQUEST_FRAME_APPLY_3;

	term_write_atom(w, "erlang");
	term_write_atom(w, "apply");
	if (brief || request->frame == REQUEST_FRAME_APPLY_2) {
		term_write_uint(w, fun ? 2 : 3);
		return;
	}
	term_write_list(w, fun ? 2 : 3);
	if (fun) {
		term_write_term(w, request->fun);
		term_write_term(w, request->arguments);
	} else {
		write_mfa(w, request, false);
	}
	term_write_nil(w);
}

static void write_frame(struct term_writer *w, const struct request *request,
			bool brief)
{
	bool fun = request->frame == REQUEST_FRAME_FUN;

	term_write_tuple(w, fun ? 3 : 4);
	if (fun) {
		term_write_term(w, request->fun);
		term_write_term(w, request->arguments);
	} else if (request->frame == REQUEST_FRAME_CALLED) {
		write_mfa(w, request, brief);
	} else {
		write_apply(w, request, brief);
	}
	term_write_nil(w);
}

void answer_stack_write(struct term_writer *w, const struct request *request,
			enum raised_reason reason)
{
	bool brief = is_too_long(request, reason);
	struct term_items items;

	/* of a request that was cut short, the list or its head may be missing
	 */
	if (brief && !term_list(request->arguments, &items)) {
		term_write_nil(w);
		return;
	}
	term_write_list(w, 1);
	write_frame(w, request, brief);
	term_write_nil(w);
}

void answer_stack_write_cast(struct term_writer *w)
{
	term_write_list(w, 1);
	term_write_tuple(w, 4);
	term_write_atom(w, "erpc");
	term_write_atom(w, "execute_cast");
	term_write_uint(w, 3);
	term_write_nil(w);
	term_write_nil(w);
}
