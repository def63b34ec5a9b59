/* SPDX-License-Identifier: Apache-2.0 */
/* Answers each request in the form that it came in; request.c lists them. */
#include "serve/answer.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "call/call.h"
#include "dist/dflags.h"
#include "serve/answer_stack.h"
#include "serve/apply.h"

/* More nesting than any caller needs; each level reads all arguments again. */
#define MAX_APPLIED 8

static void write_return_head(struct term_writer *w,
			      const struct request *request)
{
	switch (request->form) {
	case REQUEST_ERPC:
		term_write_tuple(w, 3);
		term_write_term(w, request->tag);
		term_write_atom(w, "return");
		break;
	case REQUEST_GEN_CALL:
		term_write_tuple(w, 2);
		term_write_term(w, request->tag);
		break;
	case REQUEST_EI_RPC:
		term_write_tuple(w, 2);
		term_write_atom(w, "rex");
		break;
	case REQUEST_SPAWN:
	case REQUEST_CAST:
		break;
	}
}

static void write_error(struct term_writer *w, const struct request *request,
			const struct call *call)
{
	switch (request->form) {
	case REQUEST_ERPC:
		term_write_tuple(w, 4);
		term_write_term(w, request->tag);
		term_write_atom(w, "error");
		break;
	case REQUEST_GEN_CALL:
	case REQUEST_EI_RPC:
		write_return_head(w, request);
		term_write_tuple(w, 2);
		term_write_atom(w, "badrpc");
		term_write_tuple(w, 2);
		term_write_atom(w, "EXIT");
		term_write_tuple(w, 2);
		break;
	case REQUEST_CAST:
		term_write_tuple(w, 2);
		term_write_tuple(w, 2);
		term_write_atom(w, "exception");
		term_write_tuple(w, 2);
		break;
	case REQUEST_SPAWN:
		term_write_tuple(w, 2);
		break;
	}
	raise_write_reason(call, w);
	answer_stack_write(w, request, call->raised.reason);
	if (request->form == REQUEST_CAST)
		answer_stack_write_cast(w);
}

/*
 * For an exception that is too long or cannot get memory: the arguments, which
 * take up most of it, become their number.
 */
static void write_brief(struct term_writer *w, size_t begin,
			const struct request *request, struct call *call)
{
	struct request brief = *request;

	brief.cut_short = true;
	if (w->no_memory)
		raise_no_memory(call);
	else
		call->raised.reason = RAISED_TOO_BIG;
	w->limit = INT32_MAX;
	term_writer_rewind(w, begin);
	write_error(w, &brief, call);
}

/* Calls the function asked for; if that is apply, the function it applies. */
static bool call_or_apply(struct call *call, struct request *request)
{
	for (int applied = 0;; applied++) {
		memcpy(call->args, request->args, sizeof(call->args));
		if (functions_call(call, request->module, request->function,
				   request->arity))
			return true;
		if (call->raised.reason != RAISED_UNDEF ||
		    applied == MAX_APPLIED ||
		    !apply_next(request, &call->raised))
			return false;
		call->raised.reason = RAISED_NOTHING;
	}
}

/*
 * Calls the function and writes the answer's term; an exception that is already
 * set is written instead. call then says what else to send: write_watches().
 */
static void write_outcome(struct session *session, struct request *request,
			  struct term_writer *w, struct call *call)
{
	size_t begin = w->pos;

	call->out = w;
	call->caller = request->to;
	if (call->raised.reason == RAISED_NOTHING && !request_is_mfa(request)) {
		call->raised.reason = RAISED_BADARG;
		request->frame = REQUEST_FRAME_APPLY_3;
	}
	if (call->raised.reason != RAISED_NOTHING) {
		write_error(w, request, call);
		return;
	}
	w->limit = begin + session->context.common->max_message;
	write_return_head(w, request);
	if (!call_or_apply(call, request)) {
		term_writer_rewind(w, begin);
		write_error(w, request, call);
		if (w->failed)
			write_brief(w, begin, request, call);
	} else if (request->form == REQUEST_SPAWN ||
		   request->form == REQUEST_CAST) {
		term_writer_rewind(w, begin);
		term_write_atom(w, "normal");
	}
	w->limit = INT32_MAX;
}

/* --- Answers ------------------------------------------------------------ */

/* An alias is [alias | Ref]; a message is sent to Ref. */
static bool read_alias(struct term tag, struct term *ref)
{
	struct term_items items;
	struct term first;

	if (!term_list(tag, &items) || items.left != 1 ||
	    !term_next(&items, &first) || !term_is_atom(first, "alias"))
		return false;
	*ref = term_rest(&items);
	return term_is_ref(*ref);
}

size_t answer_begin_message(struct session *session,
			    const struct request *request,
			    struct term_writer *w)
{
	struct term alias;

	if (request->form == REQUEST_GEN_CALL &&
	    session->peer_flags & DFLAG_ALIAS &&
	    read_alias(request->tag, &alias))
		return control_begin_alias_send(w, pids_make(&session->pids),
						alias);
	return control_begin_send(w, request->to);
}

static void answer_message(struct session *session, struct request *request,
			   struct term_writer *w, struct call *call)
{
	size_t begin = answer_begin_message(session, request, w);

	if (w->failed)
		return; /* no memory for its head: nothing is done */
	write_outcome(session, request, w, call);
	control_end(w, begin);
}

/* Opens the packet that tells the caller how the process ended. */
static size_t begin_exit(struct session *session, const struct request *request,
			 struct term_writer *w, struct term pid,
			 enum control_spawn_flag by)
{
	if (by == CONTROL_SPAWN_LINK)
		return control_begin_exit(w, pid, request->to);
	if (session->peer_flags & DFLAG_EXIT_PAYLOAD)
		return control_begin_monitor_exit_payload(w, pid, request->to,
							  request->id);
	return control_begin_monitor_exit(w, pid, request->to, request->id);
}

/* Appends a copy of the size bytes at position from. */
static void repeat(struct term_writer *w, size_t from, size_t size)
{
	char *space = term_write_space(w, size);

	if (space)
		memcpy(space, w->buf + from, size);
}

static void answer_spawn(struct session *session, struct request *request,
			 struct term_writer *w, struct call *call)
{
	bool monitor = request->spawn_flags & CONTROL_SPAWN_MONITOR;
	bool link = request->spawn_flags & CONTROL_SPAWN_LINK;
	size_t begin, reason, size;
	struct term pid;

	if (request->bad_options) {
		control_write_spawn_refusal(w, request->id, request->to,
					    "badopt");
		return;
	}
	pid = pids_make(&session->pids);
	control_write_spawn_reply(w, request->id, request->to,
				  request->spawn_flags, pid);
	begin = begin_exit(session, request, w, pid,
			   monitor ? CONTROL_SPAWN_MONITOR
				   : CONTROL_SPAWN_LINK);
	if (w->failed)
		return; /* no memory for its head: nothing is done */
	reason = w->pos;
	write_outcome(session, request, w, call);
	size = w->pos - reason;
	control_end(w, begin);
	if (!monitor && !link)
		term_writer_rewind(w, begin); /* nobody gets an answer */
	if (monitor && link && !w->failed) {
		begin = begin_exit(session, request, w, pid,
				   CONTROL_SPAWN_LINK);
		repeat(w, reason, size);
		control_end(w, begin);
	}
}

/*
 * Starts or stops monitoring the process that handles end with; the reference
 * of each is its monitor's, too.
 */
static void write_watches(struct session *session, struct term_writer *w,
			  const struct call *call)
{
	struct term self = pids_self(&session->pids);
	struct term process = { call->unwatch.pid, call->unwatch.size };

	for (size_t i = 0; i < call->watched_count; i++)
		control_write_monitor(w, self, call->caller, &call->watched[i]);
	if (call->unwatch.pid)
		control_write_demonitor(w, self, process, &call->ref);
	if (call->subscriber.size > 0)
		control_write_monitor(
			w,
			(struct term){ call->subscription.pid,
				       call->subscription.pid_size },
			call->subscriber, &call->subscription.monitor);
}

void serve_request(struct session *session, struct request *request,
		   struct term_writer *w, const struct raised *raised)
{
	struct call call;

	/* the reference at its end is large and rarely used */
	memset(&call, 0, offsetof(struct call, ref));
	call.context = &session->context;
	if (raised)
		call.raised = *raised;

	if (request->form == REQUEST_ERPC || request->form == REQUEST_SPAWN ||
	    request->form == REQUEST_CAST)
		answer_spawn(session, request, w, &call);
	else
		answer_message(session, request, w, &call);
	write_watches(session, w, &call);
	raise_count(&call);
	stats_add_latency(session->context.stats,
			  clock_ns() - session->arrived);
	free(call.watched);
	free(call.unwatch.pid);
}
