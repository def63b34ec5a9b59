/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The forms in which Erlang nodes ask for a call, and those of the answers:
 *
 *	erpc, rpc    SPAWN_REQUEST of {erpc, execute_call, 4}, [Ref, M, F, A]
 *	             -> exit reason {Ref, return, V} | {Ref, error, R, Stack}
 *	spawn        SPAWN_REQUEST of {M, F, length(A)}, A
 *	             -> exit reason normal | {R, Stack}
 *	casts        SPAWN_REQUEST of {erpc, execute_cast, 3}, [M, F, A]
 *	gen_server   REG_SEND to rex of {'$gen_call', {Pid, Tag}, Call}
 *	             -> {Tag, V} | {Tag, {badrpc, {'EXIT', {R, Stack}}}}
 *	ei_rpc       REG_SEND to rex of {Pid, Call}
 *	             -> {rex, V} | {rex, {badrpc, {'EXIT', {R, Stack}}}}
 *	             Call = {call | block_call, M, F, A, GroupLeader}
 *	sbcast       REG_SEND to rex of {Pid, {sbcast, Name, Message}}
 *	             -> {rex, node(), {nonexisting_name, Name}}
 *	ping         REG_SEND to net_kernel of
 *	             {'$gen_call', {Pid, Tag}, {is_auth, Node}} -> {Tag, yes}
 *
 * A spawned process lives no longer than the request that asks for it, so
 * whatever is monitored or linked to is not there, but for the two names.
 */
#include "rpc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

/* Longer ones stand as their number, but of a function that is not there. */
#define MAX_STACK_ARGUMENTS 65536

enum form {
	FORM_ERPC,
	FORM_SPAWN,
	FORM_GEN_CALL,
	FORM_EI_RPC,
};

/* Who asks for what, in which form. */
struct request {
	enum form form;
	struct term to;  /* the pid that gets the answer */
	struct term id;  /* of the spawn request */
	struct term tag; /* Ref of erpc, Tag of a gen_server call */
	unsigned spawn_flags;
	struct term module;
	struct term function;
	struct term arguments; /* of a request cut short perhaps not whole */
	bool cut_short;
};

/* --- What an exit reason or a message says ------------------------------ */

static bool is_mfa(const struct request *request)
{
	return term_is_any_atom(request->module) &&
	       term_is_any_atom(request->function) &&
	       term_is_list(request->arguments);
}

/* [{Module, Function, Arguments | Arity, []}], as a BEAM node's erpc has it. */
static void write_stack(struct term_writer *w, const struct request *request,
			enum raised_reason reason)
{
	struct term_items items;

	if (!term_list(request->arguments, &items)) {
		term_write_nil(w);
		return;
	}
	term_write_list(w, 1);
	term_write_tuple(w, 4);
	term_write_term(w, request->module);
	term_write_term(w, request->function);
	if (request->cut_short ||
	    (reason != RAISED_UNDEF &&
	     request->arguments.size > MAX_STACK_ARGUMENTS))
		term_write_uint(w, items.left);
	else
		term_write_term(w, request->arguments);
	term_write_nil(w);
	term_write_nil(w);
}

static void write_return_head(struct term_writer *w,
			      const struct request *request)
{
	switch (request->form) {
	case FORM_ERPC:
		term_write_tuple(w, 3);
		term_write_term(w, request->tag);
		term_write_atom(w, "return");
		break;
	case FORM_GEN_CALL:
		term_write_tuple(w, 2);
		term_write_term(w, request->tag);
		break;
	case FORM_EI_RPC:
		term_write_tuple(w, 2);
		term_write_atom(w, "rex");
		break;
	case FORM_SPAWN:
		break;
	}
}

static void write_error(struct term_writer *w, const struct request *request,
			const struct call *call)
{
	switch (request->form) {
	case FORM_ERPC:
		term_write_tuple(w, 4);
		term_write_term(w, request->tag);
		term_write_atom(w, "error");
		break;
	case FORM_GEN_CALL:
	case FORM_EI_RPC:
		write_return_head(w, request);
		term_write_tuple(w, 2);
		term_write_atom(w, "badrpc");
		term_write_tuple(w, 2);
		term_write_atom(w, "EXIT");
		term_write_tuple(w, 2);
		break;
	case FORM_SPAWN:
		term_write_tuple(w, 2);
		break;
	}
	functions_write_reason(call, w);
	write_stack(w, request, call->raised.reason);
}

/* What erpc says of arguments that are no module, function and list. */
static void write_erpc_badarg(struct term_writer *w,
			      const struct request *request)
{
	term_write_tuple(w, 3);
	term_write_term(w, request->tag);
	term_write_atom(w, "error");
	term_write_tuple(w, 2);
	term_write_atom(w, "erpc");
	term_write_atom(w, "badarg");
}

/* An exception that is itself too long: what it is of stands in it. */
static void write_too_big(struct term_writer *w, size_t begin,
			  const struct request *request, struct call *call)
{
	struct request brief = *request;

	brief.cut_short = true;
	call->raised.reason = RAISED_TOO_BIG;
	w->limit = INT32_MAX;
	term_writer_rewind(w, begin);
	write_error(w, &brief, call);
}

/*
 * Calls, and writes the answer's term; an exception that is set is written.
 * call says afterwards what else is to be told.
 */
static void write_outcome(struct rpc *rpc, const struct request *request,
			  struct term_writer *w, struct call *call)
{
	size_t begin = w->pos;

	call->context = &rpc->functions;
	call->out = w;
	call->caller = request->to;
	if (call->raised.reason == RAISED_NOTHING && !is_mfa(request)) {
		if (request->form == FORM_ERPC) {
			write_erpc_badarg(w, request);
			return;
		}
		call->raised.reason = RAISED_BADARG;
	}
	if (call->raised.reason != RAISED_NOTHING) {
		write_error(w, request, call);
		return;
	}
	w->limit = begin + rpc->functions.max_message;
	write_return_head(w, request);
	if (!functions_call(call, request->module, request->function,
			    request->arguments)) {
		term_writer_rewind(w, begin);
		write_error(w, request, call);
		if (w->failed && !w->no_memory)
			write_too_big(w, begin, request, call);
	} else if (request->form == FORM_SPAWN) {
		term_writer_rewind(w, begin);
		term_write_atom(w, "normal");
	}
	w->limit = INT32_MAX;
}

/* --- Answers ------------------------------------------------------------ */

/* An alias stands as [alias | Ref], and a message can be sent to its Ref. */
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

static size_t begin_message(struct rpc *rpc, const struct request *request,
			    struct term_writer *w)
{
	size_t begin = dist_begin(w);
	struct term alias;
	erlang_pid self;

	if (request->form == FORM_GEN_CALL &&
	    rpc->peer_flags & DIST_FLAG_ALIAS &&
	    read_alias(request->tag, &alias)) {
		ei_make_pid(rpc->node, &self);
		dist_write_alias_send(w, &self, alias);
	} else {
		dist_write_send(w, request->to);
	}
	return begin;
}

static void answer_message(struct rpc *rpc, const struct request *request,
			   struct term_writer *w, struct call *call)
{
	size_t begin = begin_message(rpc, request, w);

	write_outcome(rpc, request, w, call);
	dist_end(w, begin);
}

static void write_spawn_reply(struct term_writer *w,
			      const struct request *request,
			      const erlang_pid *pid)
{
	size_t begin = dist_begin(w);

	dist_write_spawn_reply(w, request->id, request->to,
			       request->spawn_flags, pid);
	dist_end(w, begin);
}

/* Opens the packet by which the one who asked learns how the process ended. */
static size_t begin_exit(struct rpc *rpc, const struct request *request,
			 struct term_writer *w, const erlang_pid *pid,
			 enum dist_spawn_flag told_by)
{
	size_t begin = dist_begin(w);

	if (told_by == DIST_SPAWN_LINK)
		dist_write_exit(w, pid, request->to);
	else if (rpc->peer_flags & DIST_FLAG_EXIT_PAYLOAD)
		dist_write_monitor_exit_payload(w, pid, request->to,
						request->id);
	else
		dist_write_monitor_exit(w, pid, request->to, request->id);
	return begin;
}

/* The size octets at from in the buffer, once more at its end. */
static void repeat(struct term_writer *w, size_t from, size_t size)
{
	char *space = term_write_space(w, size);

	if (space)
		memcpy(space, w->buf + from, size);
}

static void answer_spawn(struct rpc *rpc, const struct request *request,
			 struct term_writer *w, struct call *call)
{
	bool monitor = request->spawn_flags & DIST_SPAWN_MONITOR;
	bool link = request->spawn_flags & DIST_SPAWN_LINK;
	size_t begin, reason, size;
	erlang_pid pid;

	ei_make_pid(rpc->node, &pid);
	write_spawn_reply(w, request, &pid);
	begin = begin_exit(rpc, request, w, &pid,
			   monitor ? DIST_SPAWN_MONITOR : DIST_SPAWN_LINK);
	reason = w->pos;
	write_outcome(rpc, request, w, call);
	size = w->pos - reason;
	dist_end(w, begin);
	if (!monitor && !link)
		term_writer_rewind(w, begin); /* nobody wants to know */
	if (monitor && link && !w->failed) {
		begin = begin_exit(rpc, request, w, &pid, DIST_SPAWN_LINK);
		repeat(w, reason, size);
		dist_end(w, begin);
	}
}

/* The reference of a handle is that of the monitor on whom it ends with. */
static void tell_more(struct rpc *rpc, struct term_writer *w,
		      const struct call *call)
{
	const erlang_pid *self = &rpc->node->self;
	struct term process = { call->unwatch, call->unwatch_size };

	if (call->watch)
		dist_write_monitor(w, self, call->caller, &call->ref);
	if (call->unwatch)
		dist_write_demonitor(w, self, process, &call->ref);
}

static void answer(struct rpc *rpc, const struct request *request,
		   struct term_writer *w, enum raised_reason raised)
{
	struct call call = { .raised.reason = raised };

	if (request->form == FORM_ERPC || request->form == FORM_SPAWN)
		answer_spawn(rpc, request, w, &call);
	else
		answer_message(rpc, request, w, &call);
	tell_more(rpc, w, &call);
	free(call.unwatch);
}

/* --- Requests ----------------------------------------------------------- */

/* Module, function and arguments; what is missing stays of size 0. */
static void read_mfa(struct term_items *items, struct request *request)
{
	if (term_next(items, &request->module) &&
	    term_next(items, &request->function) &&
	    !term_next(items, &request->arguments) && request->cut_short)
		request->arguments = term_rest(items);
}

static unsigned read_spawn_flags(struct term options)
{
	struct term_items items;
	struct term option, pair[2];
	unsigned flags = 0;

	if (!term_list(options, &items))
		return 0;
	while (term_next(&items, &option)) {
		if (term_is_atom(option, "link"))
			flags |= DIST_SPAWN_LINK;
		if (term_is_atom(option, "monitor") ||
		    (term_tuple_of(option, pair, 2) &&
		     term_is_atom(pair[0], "monitor")))
			flags |= DIST_SPAWN_MONITOR;
	}
	return flags;
}

static bool is_erpc(const struct term mfa[3], const char *function,
		    uint32_t arity)
{
	uint32_t n;

	return term_is_atom(mfa[0], "erpc") && term_is_atom(mfa[1], function) &&
	       term_read_uint32(mfa[2], &n) && n == arity;
}

/* False where the message is no request to spawn. */
static bool read_spawn(const struct dist_message *message,
		       struct request *request)
{
	struct term_items arguments;
	struct term mfa[3];

	if (!term_tuple_of(message->mfa, mfa, 3) || !term_is_ref(message->id) ||
	    !term_list(message->payload, &arguments))
		return false;
	request->form = FORM_SPAWN;
	request->to = message->from;
	request->id = message->id;
	request->spawn_flags = read_spawn_flags(message->options);
	if (is_erpc(mfa, "execute_call", 4) &&
	    (term_next(&arguments, &request->tag) || request->cut_short)) {
		request->form = FORM_ERPC;
		read_mfa(&arguments, request);
		return request->tag.size > 0;
	}
	if (is_erpc(mfa, "execute_cast", 3)) {
		read_mfa(&arguments, request);
	} else {
		request->module = mfa[0];
		request->function = mfa[1];
		request->arguments = message->payload;
	}
	return true;
}

/* {call | block_call, M, F, A, GroupLeader} */
static bool read_call(struct term t, struct request *request)
{
	struct term_items items;
	struct term tag;

	if (!term_tuple(t, &items) || items.left != 5 ||
	    !term_next(&items, &tag) ||
	    !(term_is_atom(tag, "call") || term_is_atom(tag, "block_call")))
		return false;
	read_mfa(&items, request);
	return true;
}

/*
 * {'$gen_call', {Pid, Tag}, Call} | {Pid, Call}; what is called is returned
 * for the caller to look at, perhaps cut short.
 */
static bool read_message(struct term payload, struct request *request,
			 struct term *called)
{
	struct term_items items;
	struct term first, from[2];
	uint32_t n;

	if (!term_tuple(payload, &items))
		return false;
	n = items.left;
	if (!term_next(&items, &first))
		return false;
	if (n == 3 && term_is_atom(first, "$gen_call") &&
	    term_next(&items, &first) && term_tuple_of(first, from, 2)) {
		request->form = FORM_GEN_CALL;
		request->to = from[0];
		request->tag = from[1];
	} else if (n == 2 && term_is_pid(first)) {
		request->form = FORM_EI_RPC;
		request->to = first;
	} else {
		return false;
	}
	*called = term_rest(&items);
	return true;
}

/* A pid of the peer; one of another node, or none, asks for nothing here. */
static bool is_from_peer(const struct rpc *rpc, struct term t)
{
	erlang_pid pid;

	if (!term_read_pid(t, &pid))
		return false;
	if (strcmp(pid.node, rpc->peer) == 0)
		return true;
	log_warning("dropped a request that came from %s in the name of %s",
		    rpc->peer, pid.node);
	return false;
}

static int serve_spawn(struct rpc *rpc, const struct dist_message *message,
		       struct term_writer *out)
{
	struct request request = { 0 };

	if (!read_spawn(message, &request))
		return -EBADMSG;
	answer(rpc, &request, out, RAISED_NOTHING);
	return 0;
}

static void answer_ping(struct rpc *rpc, const struct request *request,
			struct term called, struct term_writer *out)
{
	struct term is_auth[2];
	size_t begin;

	if (request->form != FORM_GEN_CALL ||
	    !term_tuple_of(called, is_auth, 2) ||
	    !term_is_atom(is_auth[0], "is_auth"))
		return;
	begin = begin_message(rpc, request, out);
	term_write_tuple(out, 2);
	term_write_term(out, request->tag);
	term_write_atom(out, "yes");
	dist_end(out, begin);
}

/* No name is registered here to which rpc:sbcast/2 could send. */
static void answer_sbcast(struct rpc *rpc, const struct request *request,
			  struct term called, struct term_writer *out)
{
	struct term sbcast[3];
	size_t begin;

	if (request->form != FORM_EI_RPC || !term_tuple_of(called, sbcast, 3) ||
	    !term_is_atom(sbcast[0], "sbcast"))
		return;
	begin = begin_message(rpc, request, out);
	term_write_tuple(out, 3);
	term_write_atom(out, "rex");
	term_write_atom(out, rpc->node->thisnodename);
	term_write_tuple(out, 2);
	term_write_atom(out, "nonexisting_name");
	term_write_term(out, sbcast[1]);
	dist_end(out, begin);
}

/* Messages that nobody here understands are dropped, as a BEAM node does. */
static int serve_reg_send(struct rpc *rpc, const struct dist_message *message,
			  struct term_writer *out)
{
	struct request request = { 0 };
	struct term called;

	if (!read_message(message->payload, &request, &called) ||
	    !is_from_peer(rpc, request.to))
		return 0;
	if (term_is_atom(message->to, "net_kernel"))
		answer_ping(rpc, &request, called, out);
	else if (!term_is_atom(message->to, "rex"))
		return 0;
	else if (read_call(called, &request))
		answer(rpc, &request, out, RAISED_NOTHING);
	else
		answer_sbcast(rpc, &request, called, out);
	return 0;
}

static int serve_monitor(struct rpc *rpc, const struct dist_message *message,
			 struct term_writer *out)
{
	(void)rpc;
	if (!term_is_ref(message->id) ||
	    !(term_is_pid(message->to) || term_is_any_atom(message->to)))
		return -EBADMSG;
	if (!term_is_atom(message->to, "rex") &&
	    !term_is_atom(message->to, "net_kernel"))
		dist_write_monitor_noproc(out, message->to, message->from,
					  message->id);
	return 0;
}

static int serve_link(struct rpc *rpc, const struct dist_message *message,
		      struct term_writer *out)
{
	(void)rpc;
	if (!term_is_pid(message->to))
		return -EBADMSG;
	dist_write_link_noproc(out, message->to, message->from);
	return 0;
}

static int serve_unlink(struct rpc *rpc, const struct dist_message *message,
			struct term_writer *out)
{
	(void)rpc;
	dist_write_unlink_ack(out, message->id, message->to, message->from);
	return 0;
}

/* Of the processes of the peer, those are watched that handles end with. */
static int serve_monitor_exit(struct rpc *rpc,
			      const struct dist_message *message,
			      struct term_writer *out)
{
	erlang_ref ref;

	(void)out;
	if (!term_read_ref(message->id, &ref))
		return -EBADMSG;
	handles_process_ended(rpc->functions.handles, rpc->functions.owner,
			      &ref);
	return 0;
}

static const struct {
	enum dist_op op;
	int (*serve)(struct rpc *rpc, const struct dist_message *message,
		     struct term_writer *out);
} servers[] = {
	{ DIST_SPAWN_REQUEST, serve_spawn },
	{ DIST_REG_SEND, serve_reg_send },
	{ DIST_MONITOR_P, serve_monitor },
	{ DIST_LINK, serve_link },
	{ DIST_UNLINK_ID, serve_unlink },
	{ DIST_MONITOR_P_EXIT, serve_monitor_exit },
	{ DIST_PAYLOAD_MONITOR_P_EXIT, serve_monitor_exit },
};

/* What is not in the table tells of processes that we do not have. */
int rpc_serve(struct rpc *rpc, const struct dist_message *message,
	      struct term_writer *out)
{
	int error = 0;

	for (size_t i = 0; i < sizeof(servers) / sizeof(servers[0]); i++) {
		if (servers[i].op != message->op)
			continue;
		if (!term_is_pid(message->from))
			return -EBADMSG;
		if (is_from_peer(rpc, message->from))
			error = servers[i].serve(rpc, message, out);
	}
	return error < 0 ? error : out->failed ? -ENOMEM : 0;
}

int rpc_refuse(struct rpc *rpc, const struct dist_message *message,
	       struct term_writer *out)
{
	struct request request = { .cut_short = true };
	struct term called;
	bool good = false;

	if (!is_from_peer(rpc, message->from))
		return -EMSGSIZE;
	if (message->op == DIST_SPAWN_REQUEST)
		good = read_spawn(message, &request);
	else if (message->op == DIST_REG_SEND &&
		 term_is_atom(message->to, "rex"))
		good = read_message(message->payload, &request, &called) &&
		       is_from_peer(rpc, request.to) &&
		       read_call(called, &request);
	if (!good)
		return -EMSGSIZE;
	answer(rpc, &request, out, RAISED_TOO_BIG);
	return out->failed ? -ENOMEM : 0;
}
