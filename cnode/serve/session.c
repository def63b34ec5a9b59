/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Serves the messages of one connected node; the table below has a row for each
 * kind that gets an answer.
 *
 * A spawned process lives no longer than the request that asks for it, so
 * a monitor or a link finds nothing but the two registered names, and
 * subscriptions: cnode/events/.
 */
#include "serve/session.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "events/events.h"
#include "serve/answer.h"
#include "serve/request.h"

#define KILLED "w\6killed" /* ERL_SMALL_ATOM_UTF8_EXT */
#define MAX_REASON 256     /* bytes */

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

static bool is_registered(struct term name)
{
	return term_is_atom(name, "rex") || term_is_atom(name, "net_kernel");
}

static int serve_monitor(struct session *session,
			 const struct control_message *message,
			 struct term_writer *out)
{
	if (!term_is_ref(message->id) ||
	    !(term_is_pid(message->to) || term_is_any_atom(message->to)))
		return -EBADMSG;
	if (!is_registered(message->to) &&
	    events_monitor(session->context.events, message->to, message->from,
			   message->id) < 0)
		control_write_monitor_noproc(out, message->to, message->from,
					     message->id);
	return 0;
}

static int serve_demonitor(struct session *session,
			   const struct control_message *message,
			   struct term_writer *out)
{
	(void)out;
	if (!term_is_ref(message->id))
		return -EBADMSG;
	events_demonitor(session->context.events, message->to, message->from,
			 message->id);
	return 0;
}

static int serve_link(struct session *session,
		      const struct control_message *message,
		      struct term_writer *out)
{
	if (!term_is_pid(message->to))
		return -EBADMSG;
	if (events_link(session->context.events, message->to, message->from) <
	    0)
		control_write_link_noproc(out, message->to, message->from);
	return 0;
}

static int serve_unlink(struct session *session,
			const struct control_message *message,
			struct term_writer *out)
{
	events_unlink(session->context.events, message->to, message->from);
	control_write_unlink_ack(out, message->id, message->to, message->from);
	return 0;
}

/* Of processes that handles end with, or that subscriptions send to. */
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
	events_process_ended(session->context.events, &ref);
	return 0;
}

/* {credit, Bytes | refill} is what a subscription understands. */
static int serve_send(struct session *session,
		      const struct control_message *message,
		      struct term_writer *out)
{
	struct events_peer *peer = session->context.events;
	struct term credit[2];
	uint64_t bytes;

	(void)out;
	if (!term_tuple_of(message->payload, credit, 2) ||
	    !term_is_atom(credit[0], "credit"))
		return 0;
	if (term_is_atom(credit[1], "refill"))
		events_refill(peer, message->to);
	else if (term_read_amount(credit[1], &bytes))
		events_grant(peer, message->to, bytes);
	return 0;
}

/* As a process that is killed tells it; a long one would go to many. */
static struct term reason_of(const struct control_message *message)
{
	static const struct term killed = { KILLED, sizeof(KILLED) - 1 };
	struct term reason =
		message->payload.at ? message->payload : message->reason;

	return reason.size > MAX_REASON || term_is_atom(reason, "kill")
		       ? killed
		       : reason;
}

/* By exit/2 it ends in any case, unlike a process of a BEAM node. */
static int serve_exit2(struct session *session,
		       const struct control_message *message,
		       struct term_writer *out)
{
	(void)out;
	events_end(session->context.events, message->to, reason_of(message));
	return 0;
}

/* A process that is linked to it has ended. */
static int serve_exit(struct session *session,
		      const struct control_message *message,
		      struct term_writer *out)
{
	(void)out;
	events_unlink(session->context.events, message->to, message->from);
	if (!term_is_atom(reason_of(message), "normal"))
		events_end(session->context.events, message->to,
			   reason_of(message));
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
	{ CONTROL_DEMONITOR_P, serve_demonitor },
	{ CONTROL_EXIT, serve_exit },
	{ CONTROL_PAYLOAD_EXIT, serve_exit },
	{ CONTROL_EXIT2, serve_exit2 },
	{ CONTROL_PAYLOAD_EXIT2, serve_exit2 },
	{ CONTROL_SEND, serve_send },
	{ CONTROL_MONITOR_P_EXIT, serve_monitor_exit },
	{ CONTROL_PAYLOAD_MONITOR_P_EXIT, serve_monitor_exit },
};

static bool is_payload_good(const struct control_message *message)
{
	struct term payload = message->payload;

	return !payload.at ||
	       term_check(payload.at, payload.size) == (ssize_t)payload.size;
}

/* A SEND does not tell its sender. */
static bool has_sender(const struct control_message *message)
{
	return message->op != CONTROL_SEND;
}

/* Messages that are not in the table concern processes that we have not. */
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
		if (has_sender(message) && !term_is_pid(message->from))
			return -EBADMSG;
		if (!has_sender(message) ||
		    is_from_peer(session, message->from))
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
