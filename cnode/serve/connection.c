/* SPDX-License-Identifier: Apache-2.0 */
/* One connected node: its thread, from the handshake to its end. */
#include "serve/connection.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/log.h"
#include "dist/address.h"
#include "dist/handshake.h"
#include "dist/opening.h"
#include "events/events.h"
#include "serve/connection_internal.h"
#include "tls/tls_session.h"

#define HANDSHAKE_MS 5000
#define STACK_SIZE ((size_t)512 * 1024)
#define NAMES_SIZE 1024 /* of a certificate, in a line of the log */

static const char *describe_end(int error, char *words, size_t size)
{
	switch (error) {
	case -ECONNRESET:
		return "the connection was closed";
	case -EBADMSG:
		return "it sent a malformed packet";
	case -EMSGSIZE:
		return "it sent a packet longer than --max-message";
	case -ENOMEM:
		return "no memory for its request or the answer; see "
		       "--max-memory";
	case -ETIME:
		return "it sent nothing for --ticktime";
	case -ENOBUFS:
		return "it left more than --max-waiting bytes unread for "
		       "longer than --ticktime";
	case -ETIMEDOUT:
		return "it read nothing for --ticktime";
	default:
		snprintf(words, size, "%s", strerror(-error));
		return words;
	}
}

static void describe_address(int fd, char text[ADDRESS_TEXT_SIZE])
{
	struct address address;

	if (address_of_peer(fd, &address) == 0)
		address_format(&address, text);
	else
		snprintf(text, ADDRESS_TEXT_SIZE, "?");
}

static const char ending[] = "this node is ending";

static const char *version_of(const struct connection *c)
{
	const struct tls_session *tls = c->transport.tls;

	return tls ? tls_session_version(tls) : "none";
}

/* NULL: this node asks for no certificates. */
static const struct cert_names *proof_of(const struct connection *c)
{
	static const struct cert_names none;
	const struct tls_session *tls = c->transport.tls;

	if (!c->service->tls)
		return NULL;
	return tls ? tls_session_names(tls) : &none;
}

static const char *refuse_taken(const struct connection *c)
{
	return c->transport.tls
		       ? "a node of that name is there, or was within --grace, "
			 "whose certificate shares no name with its own"
		       : "a node of that name is there, or was within --grace, "
			 "that has shown a certificate, and this one connects "
			 "without TLS";
}

static const char *refuse_host(struct connection *c)
{
	char names[NAMES_SIZE];

	cert_names_format(tls_session_names(c->transport.tls), names,
			  sizeof(names));
	snprintf(c->refusal, sizeof(c->refusal),
		 "its certificate does not name the host of its name as that "
		 "is spelt, but %s; see --tls-names",
		 names);
	return c->refusal;
}

/* NULL, or why a node of that name is refused. */
static const char *judge_name(void *context, const char *name)
{
	struct connection *c = context;
	const struct service *service = c->service;
	const struct tls_session *tls = c->transport.tls;

	if (!strchr(name, '@'))
		return "its name has no @";
	if (!term_is_node_name(name, strlen(name)))
		return "its name is not UTF-8 of at most 255 characters";
	if (strcmp(name, service->node->thisnodename) == 0)
		return "it has the name of this node";
	if (tls && !service->tls_any_name &&
	    !tls_session_is_of_host(tls, strrchr(name, '@') + 1))
		return refuse_host(c);
	if (handles_is_of_another(service->common.handles, name, proof_of(c)))
		return refuse_taken(c);
	c->session.context.permission =
		permissions_of(service->permissions, name,
			       tls ? tls_session_names(tls) : NULL);
	if (c->session.context.permission == PERMISSION_NONE)
		return "--allow gives it nothing";
	return NULL;
}

/* NULL, or why it failed. */
static const char *accept_peer(struct connection *c, ErlConnect *peer)
{
	const struct service *service = c->service;
	struct handshake handshake = {
		.node = service->node,
		.listener = service->listener,
		.judge = judge_name,
		.context = c,
	};
	const char *failure;

	transport_begin_handshake(&c->transport, c->peer.deadline);
	failure = opening_settle(&c->transport, service->tls,
				 service->tls_or_plain);
	return failure ? failure
		       : handshake_accept(&handshake, &c->transport, peer);
}

static int join(struct connection *c, const char *name)
{
	const struct handles_node node = {
		.name = name,
		.creation = c->transport.peer_creation,
		.tls = version_of(c),
		.names = proof_of(c),
	};

	return peers_join(c->service->peers, &c->peer, &node,
			  c->service->common.handles,
			  &c->session.context.owner);
}

/* NULL, or why the peer is refused. */
static const char *shake_hands(struct connection *c, ErlConnect *peer)
{
	struct service *service = c->service;
	const char *failure = accept_peer(c, peer);

	if (failure)
		return peers_was_replaced(service->peers, &c->peer)
			       ? "it was the oldest of --max-handshakes"
			       : failure;
	switch (join(c, peer->nodename)) {
	case 0:
		return NULL;
	case -EMFILE:
		return "there are --max-connections already";
	case -ETIMEDOUT:
		return "a request of its last connection does not end";
	case -ESHUTDOWN:
		return ending;
	case -ESTALE:
		return "a newer connection has replaced it";
	case -EACCES:
		return refuse_taken(c);
	default:
		return "out of memory";
	}
}

static void log_refused(const char *address, const char *name,
			const char *refusal)
{
	static struct log_limit limit =
		LOG_LIMIT_OF("connection_refused", NULL);
	struct log_fields fields;

	log_fields_start(&fields, limit.event, refusal);
	log_fields_text(&fields, "node", name[0] ? name : NULL);
	log_fields_text(&fields, "address", address);
	log_limited_with(&limit, &fields,
			 refusal == ending ? LOG_INFO : LOG_WARNING,
			 "refused %s %s: %s", address,
			 name[0] ? name : "(no name)", refusal);
}

static bool handshake(struct connection *c, const char *address)
{
	ErlConnect peer = { .nodename = "" };
	const char *refusal = pids_init(&c->session.pids, c->service->node)
				      ? shake_hands(c, &peer)
				      : "no pid can be made for it";

	if (!refusal)
		return true;
	if (refusal != ending)
		stats_refused(c->service->common.stats);
	log_refused(address, peer.nodename, refusal);
	return false;
}

/*
 * Counted on no account: it is no larger than the node's handles are, and a
 * node must not fail to connect because others use up the budget.
 */
static int resume(struct connection *c)
{
	int error;

	session_resume(&c->session, &c->out);
	if (c->out.failed)
		return -ENOMEM;
	error = connection_flush(c);
	c->out.account = &c->account;
	return error;
}

/* The version of TLS, and the names that are proved. */
static void add_tls(struct log_fields *fields, const struct connection *c,
		    char *names, size_t size)
{
	const struct tls_session *tls = c->transport.tls;

	log_fields_text(fields, "tls", version_of(c));
	if (tls)
		cert_names_format(tls_session_names(tls), names, size);
	log_fields_text(fields, "names", tls ? names : NULL);
}

static void log_connected(const struct connection *c, const char *address)
{
	static struct log_limit limit = LOG_LIMIT_OF("connected", NULL);
	const struct tls_session *tls = c->transport.tls;
	struct log_fields fields;
	char names[NAMES_SIZE] = "";

	log_fields_start(&fields, limit.event, NULL);
	log_fields_text(&fields, "address", address);
	if (c->service->tls)
		add_tls(&fields, c, names, sizeof(names));
	log_limited_with(&limit, &fields, LOG_NOTICE,
			 "connected %s from %s%s%s%s%s", c->peer.name, address,
			 tls               ? " by "
			 : c->service->tls ? " without TLS"
					   : "",
			 tls ? tls_session_version(tls) : "", tls ? " as " : "",
			 names);
}

static const char *reason_of(const struct connection *c, int error, char *words,
			     size_t size)
{
	const char *ended_for = atomic_load(&c->peer.ending);

	if (ended_for)
		return ended_for;
	return error == -EPROTO && c->transport.tls
		       ? tls_session_failure(c->transport.tls)
		       : describe_end(error, words, size);
}

static void log_disconnected(const struct connection *c, int error)
{
	static struct log_limit limit = LOG_LIMIT_OF("disconnected", NULL);
	struct log_fields fields;
	const char *reason;
	char words[128];

	reason = reason_of(c, error, words, sizeof(words));
	log_fields_start(&fields, limit.event, reason);
	log_limited_with(&limit, &fields, LOG_NOTICE, "disconnected %s: %s",
			 c->peer.name, reason);
}

static void serve_peer(struct connection *c, const char *address)
{
	int error;

	functions_log_for(&c->session.context);
	log_connected(c, address);
	stats_join(c->service->common.stats, &c->stats);
	c->session.context.events =
		events_join(c->service->common.events, &c->transport,
			    &c->session.pids, c->peer.name);
	error = c->session.context.events ? resume(c) : -ENOMEM;
	if (error == 0)
		error = connection_serve(c);
	events_leave(c->session.context.events);
	log_disconnected(c, error);
	stats_leave(c->service->common.stats, &c->stats);
	handles_owner_down(c->service->common.handles,
			   c->session.context.owner);
}

static void free_connection(struct connection *c)
{
	struct peers *peers = c->entered ? c->service->peers : NULL;

	if (peers)
		peers_leave(peers, &c->peer);
	call_context_fini(&c->session.context);
	term_writer_fini(&c->out);
	transport_fini(&c->transport);
	free(c);
	heap_trim();
	tls_end_thread();
	if (peers)
		peers_has_left(peers);
}

static void *run(void *argument)
{
	struct connection *c = argument;
	char address[ADDRESS_TEXT_SIZE];

	describe_address(c->transport.fd, address);
	c->session.name = c->service->node->thisnodename;
	c->session.peer = c->peer.name;
	c->session.context.common = &c->service->common;
	c->session.context.account = &c->account;
	c->session.context.peer = c->peer.name;
	c->session.context.stats = &c->stats;
	c->session.context.stopped = &c->transport.stopped;
	if (handshake(c, address)) {
		c->session.peer_flags = c->transport.peer_flags;
		c->session.peer_size = strlen(c->peer.name);
		serve_peer(c, address);
	}
	free_connection(c);
	return NULL;
}

static int start_thread(struct connection *c)
{
	pthread_attr_t attributes;
	pthread_t thread;
	int error;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	error = pthread_create(&thread, &attributes, run, c);
	pthread_attr_destroy(&attributes);
	return -error;
}

void connection_start(struct service *service, int fd)
{
	static struct log_limit limit =
		LOG_LIMIT_OF("connection_refused", NULL);
	struct connection *c = calloc(1, sizeof(*c));
	int error = -ENOMEM;

	if (!c) {
		close(fd);
		stats_refused(service->common.stats);
		log_limited(&limit, LOG_WARNING, "refused a connection: %s",
			    strerror(ENOMEM));
		return;
	}
	c->service = service;
	c->peer.transport = &c->transport;
	c->peer.deadline = clock_ms() + HANDSHAKE_MS;
	c->account.budget = service->budget;
	term_writer_init(&c->out);
	if (transport_init(&c->transport, fd, service->ticktime,
			   service->max_waiting, &c->account)) {
		error = peers_enter(service->peers, &c->peer);
		c->entered = error == 0;
	}
	if (error == 0)
		error = start_thread(c);
	if (error < 0) {
		stats_refused(service->common.stats);
		log_limited(&limit, LOG_WARNING, "refused a connection: %s",
			    error == -EMFILE ? "too many handshakes; see "
					       "--max-handshakes"
					     : strerror(-error));
		free_connection(c);
	}
}
