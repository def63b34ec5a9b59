/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Serves the messages of one connected node; the table below has a row for each
 * kind that gets an answer.
 *
 * A spawned process lives no longer than the request that asks for it, so
 * a monitor or a link finds nothing but the two registered names.
 */
#include "serve/session.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "serve/answer.h"
#include "serve/request.h"

struct resumption {
	const struct session *session;
	struct term_writer *out;
};

static void watch_again(const struct handles_info *info, void *context)
{
	const struct resumption *r = context;
	struct term process = { info->process, info->process_size };

	if (info->lifetime == HANDLES_PROCESS)
		control_write_monitor(r->out, pids_self(&r->session->pids),
				      process, info->ref);
}

void session_resume(struct session *session, struct term_writer *out)
{
	struct resumption resumption = { session, out };

	handles_each_of(session->context.common->handles,
			session->context.owner, watch_again, &resumption);
}

/* Whether it is a pid of the peer: a node may not ask for another one. */
static bool is_from_peer(const struct session *session, struct term t)
{
	static struct log_limit limit =
		LOG_LIMIT_OF("refused", "in_another_name");
	const char *node;
	size_t size;

	if (!term_read_pid_node(t, &node, &size))
		return false;
	if (size == session->peer_size &&
	    memcmp(node, session->peer, size) == 0)
		return true;
	log_limited(&limit, LOG_WARNING,
		    "dropped a request from %s in the name of %.*s",
		    session->peer, (int)size, node);
	return false;
}

static int serve_spawn(struct session *session,
		       const struct control_message *message,
		       struct term_writer *out)
{
	struct request request = { 0 };

	if (!request_read_spawn(message, &request))
		return -EBADMSG;
	serve_request(session, &request, out, NULL);
	return 0;
}

static void answer_ping(struct session *session, const struct request *request,
			struct term called, struct term_writer *out)
{
	struct term is_auth[2];
	size_t begin;

	if (request->form != REQUEST_GEN_CALL ||
	    !term_tuple_of(called, is_auth, 2) ||
	    !term_is_atom(is_auth[0], "is_auth"))
		return;
	begin = answer_begin_message(session, request, out);
	term_write_tuple(out, 2);
	term_write_term(out, request->tag);
	term_write_atom(out, "yes");
	control_end(out, begin);
}

/* No registered name here accepts messages from rpc:sbcast/2. */
static void answer_sbcast(struct session *session,
			  const struct request *request, struct term called,
			  struct term_writer *out)
{
	struct term sbcast[3];
	size_t begin;

	if (request->form != REQUEST_EI_RPC ||
	    !term_tuple_of(called, sbcast, 3) ||
	    !term_is_atom(sbcast[0], "sbcast"))
		return;
	begin = answer_begin_message(session, request, out);
	term_write_tuple(out, 3);
	term_write_atom(out, "rex");
	term_write_atom(out, session->name);
	term_write_tuple(out, 2);
	term_write_atom(out, "nonexisting_name");
	term_write_term(out, sbcast[1]);
	control_end(out, begin);
}

/* Messages that are not understood are dropped, as by a BEAM node. */
static int serve_reg_send(struct session *session,
			  const struct control_message *message,
			  struct term_writer *out)
{
	struct request request = { 0 };
	struct term called;

	if (!request_read_message(message->payload, &request, &called) ||
	    !is_from_peer(session, request.to))
		return 0;
	if (term_is_atom(message->to, "net_kernel"))
		answer_ping(session, &request, called, out);
	else if (!term_is_atom(message->to, "rex"))
		return 0;
	else if (request_read_call(called, &request))
		serve_request(session, &request, out, NULL);
	else
		answer_sbcast(session, &request, called, out);
	return 0;
}

static int serve_monitor(struct session *session,
			 const struct control_message *message,
			 struct term_writer *out)
{
	(void)session;
	if (!term_is_ref(message->id) ||
	    !(term_is_pid(message->to) || term_is_any_atom(message->to)))
		return -EBADMSG;
	if (!term_is_atom(message->to, "rex") &&
	    !term_is_atom(message->to, "net_kernel"))
		control_write_monitor_noproc(out, message->to, message->from,
					     message->id);
	return 0;
}

static int serve_link(struct session *session,
		      const struct control_message *message,
		      struct term_writer *out)
{
	(void)session;
	if (!term_is_pid(message->to))
		return -EBADMSG;
	control_write_link_noproc(out, message->to, message->from);
	return 0;
}

static int serve_unlink(struct session *session,
			const struct control_message *message,
			struct term_writer *out)
{
	(void)session;
	control_write_unlink_ack(out, message->id, message->to, message->from);
	return 0;
}

/* Only processes that handles end with are monitored. */
static int serve_monitor_exit(struct session *session,
			      const struct control_message *message,
			      struct term_writer *out)
{
	erlang_ref ref;

	(void)out;
	if (!term_read_ref(message->id, &ref))
		return -EBADMSG;
	handles_process_ended(session->context.common->handles,
			      session->context.owner, &ref);
	return 0;
}

static const struct {
	enum control_op op;
	int (*serve)(struct session *session,
		     const struct control_message *message,
		     struct term_writer *out);
} servers[] = {
	{ CONTROL_SPAWN_REQUEST, serve_spawn },
	{ CONTROL_REG_SEND, serve_reg_send },
	{ CONTROL_MONITOR_P, serve_monitor },
	{ CONTROL_LINK, serve_link },
	{ CONTROL_UNLINK_ID, serve_unlink },
	{ CONTROL_MONITOR_P_EXIT, serve_monitor_exit },
	{ CONTROL_PAYLOAD_MONITOR_P_EXIT, serve_monitor_exit },
};

static bool is_payload_good(const struct control_message *message)
{
	struct term payload = message->payload;

	return !payload.at ||
	       term_check(payload.at, payload.size) == (ssize_t)payload.size;
}

/* Messages that are not in the table concern processes, of which we have none.
 */
int session_serve(struct session *session,
		  const struct control_message *message,
		  struct term_writer *out)
{
	int error = 0;

	/* the payload of a spawn request is checked while it is read */
	if (message->op != CONTROL_SPAWN_REQUEST && !is_payload_good(message))
		return -EBADMSG;
	for (size_t i = 0; i < sizeof(servers) / sizeof(servers[0]); i++) {
		if (servers[i].op != message->op)
			continue;
		if (!term_is_pid(message->from))
			return -EBADMSG;
		if (is_from_peer(session, message->from))
			error = servers[i].serve(session, message, out);
		else if (!is_payload_good(message))
			error = -EBADMSG;
	}
	return error < 0 ? error : out->failed ? -ENOMEM : 0;
}

int session_refuse(struct session *session,
		   const struct control_message *message,
		   const struct raised *raised, struct term_writer *out)
{
	struct request request = { .cut_short = true };
	struct term called;
	bool good = false;

	if (!is_from_peer(session, message->from))
		return -EMSGSIZE;
	if (message->op == CONTROL_SPAWN_REQUEST)
		good = request_read_spawn(message, &request);
	else if (message->op == CONTROL_REG_SEND &&
		 term_is_atom(message->to, "rex"))
		good = request_read_message(message->payload, &request,
					    &called) &&
		       is_from_peer(session, request.to) &&
		       request_read_call(called, &request);
	if (!good)
		return -EMSGSIZE;
	serve_request(session, &request, out, raised);
	return out->failed ? -ENOMEM : 0;
}
