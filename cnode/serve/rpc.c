/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The forms in which Erlang nodes ask for a call, and those of the answers:
 *
 *	erpc, rpc    SPAWN_REQUEST of {erpc, execute_call, 4}, [Ref, M, F, A]
 *	             -> exit reason {Ref, return, V} | {Ref, error, R, Stack}
 *	spawn        SPAWN_REQUEST of {M, F, length(A)}, A
 *	             -> exit reason normal | {R, Stack}
 *	casts        SPAWN_REQUEST of {erpc, execute_cast, 3}, [M, F, A]
 *	             -> exit reason normal | {{exception, {R, Stack}}, Stack}
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
 * A fun M:F/A comes as erlang:apply(Fun, A): apply.c. A request to spawn with
 * wrong options is answered by SPAWN_REPLY with badopt: spawn_options.c.
 *
 * A spawned process lives no longer than the request that asks for it, so
 * whatever is monitored or linked to is not there, but for the two names.
 */
#include "serve/rpc.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "serve/answer.h"
#include "serve/request.h"

struct resumption {
	const struct rpc *rpc;
	struct term_writer *out;
};

static void watch_again(const struct handles_info *info, void *context)
{
	const struct resumption *r = context;
	struct term process = { info->process, info->process_size };

	if (info->lifetime == HANDLES_PROCESS)
		dist_write_monitor(r->out, pids_self(&r->rpc->pids), process,
				   info->ref);
}

void rpc_resume(struct rpc *rpc, struct term_writer *out)
{
	struct resumption resumption = { rpc, out };

	handles_each_of(rpc->functions.common->handles, rpc->functions.owner,
			watch_again, &resumption);
}

/* A pid of the peer; one of another node, or none, asks for nothing here. */
static bool is_from_peer(const struct rpc *rpc, struct term t)
{
	static struct log_limit limit =
		LOG_LIMIT_OF("refused", "in_another_name");
	const char *node;
	size_t size;

	if (!term_read_pid_node(t, &node, &size))
		return false;
	if (size == rpc->peer_size && memcmp(node, rpc->peer, size) == 0)
		return true;
	log_limited(&limit, LOG_WARNING,
		    "dropped a request that came from %s in the name of %.*s",
		    rpc->peer, (int)size, node);
	return false;
}

static int serve_spawn(struct rpc *rpc, const struct dist_message *message,
		       struct term_writer *out)
{
	struct request request = { 0 };

	if (!request_read_spawn(message, &request))
		return -EBADMSG;
	answer_request(rpc, &request, out, NULL);
	return 0;
}

static void answer_ping(struct rpc *rpc, const struct request *request,
			struct term called, struct term_writer *out)
{
	struct term is_auth[2];
	size_t begin;

	if (request->form != REQUEST_GEN_CALL ||
	    !term_tuple_of(called, is_auth, 2) ||
	    !term_is_atom(is_auth[0], "is_auth"))
		return;
	begin = answer_begin_message(rpc, request, out);
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

	if (request->form != REQUEST_EI_RPC ||
	    !term_tuple_of(called, sbcast, 3) ||
	    !term_is_atom(sbcast[0], "sbcast"))
		return;
	begin = answer_begin_message(rpc, request, out);
	term_write_tuple(out, 3);
	term_write_atom(out, "rex");
	term_write_atom(out, rpc->name);
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

	if (!request_read_message(message->payload, &request, &called) ||
	    !is_from_peer(rpc, request.to))
		return 0;
	if (term_is_atom(message->to, "net_kernel"))
		answer_ping(rpc, &request, called, out);
	else if (!term_is_atom(message->to, "rex"))
		return 0;
	else if (request_read_call(called, &request))
		answer_request(rpc, &request, out, NULL);
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
	handles_process_ended(rpc->functions.common->handles,
			      rpc->functions.owner, &ref);
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

static bool is_payload_good(const struct dist_message *message)
{
	struct term payload = message->payload;

	return !payload.at ||
	       term_check(payload.at, payload.size) == (ssize_t)payload.size;
}

/* What is not in the table tells of processes that we do not have. */
int rpc_serve(struct rpc *rpc, const struct dist_message *message,
	      struct term_writer *out)
{
	int error = 0;

	/* that of a request to spawn is checked while it is read */
	if (message->op != DIST_SPAWN_REQUEST && !is_payload_good(message))
		return -EBADMSG;
	for (size_t i = 0; i < sizeof(servers) / sizeof(servers[0]); i++) {
		if (servers[i].op != message->op)
			continue;
		if (!term_is_pid(message->from))
			return -EBADMSG;
		if (is_from_peer(rpc, message->from))
			error = servers[i].serve(rpc, message, out);
		else if (!is_payload_good(message))
			error = -EBADMSG;
	}
	return error < 0 ? error : out->failed ? -ENOMEM : 0;
}

int rpc_refuse(struct rpc *rpc, const struct dist_message *message,
	       const struct raised *raised, struct term_writer *out)
{
	struct request request = { .cut_short = true };
	struct term called;
	bool good = false;

	if (!is_from_peer(rpc, message->from))
		return -EMSGSIZE;
	if (message->op == DIST_SPAWN_REQUEST)
		good = request_read_spawn(message, &request);
	else if (message->op == DIST_REG_SEND &&
		 term_is_atom(message->to, "rex"))
		good = request_read_message(message->payload, &request,
					    &called) &&
		       is_from_peer(rpc, request.to) &&
		       request_read_call(called, &request);
	if (!good)
		return -EMSGSIZE;
	answer_request(rpc, &request, out, raised);
	return out->failed ? -ENOMEM : 0;
}
