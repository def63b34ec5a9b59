/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connected node: its thread, from the handshake to its end. The thread
 * takes in what has come by one system call, serves every whole packet of it,
 * and sends all the answers by another.
 */
#include "connection.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "budget.h"
#include "clock.h"
#include "handshake.h"
#include "log.h"
#include "memory.h"
#include "rpc.h"

#define HANDSHAKE_MS 5000
#define STACK_SIZE ((size_t)512 * 1024)
#define FLUSH_SIZE                                                             \
	((size_t)256 * 1024)        /* answers that wait for no more requests */
#define KEPT_OUT_SIZE BUDGET_FREE   /* of the output buffer, between turns */
#define ROOM_SIZE (BUDGET_FREE / 2) /* for an answer, whoever has memory */
#define BEGINNING_SIZE 32768 /* of a request too long: control, whom, what */
#define QUIETS_MAX 4         /* quarters of a tick time with nothing read */
#define TICK_ANSWER_MS 200   /* no answer if something was sent that late */

struct connection {
	struct service *service;
	struct account account;
	struct peer peer;
	struct transport transport;
	struct rpc rpc;
	struct stats stats;
	struct term_writer out;
	size_t skip; /* octets still to come of a request that is too long */
	unsigned quiets;
	bool entered;
};

/* --- Packets ------------------------------------------------------------ */

/*
 * A node that sends ticks waits for something to read, and one that answers
 * ticks must not be answered in turn, for ever. Both are served by answering
 * unless something was sent just now.
 */
static void serve_tick(struct connection *c)
{
	static const char tick[DIST_LENGTH_SIZE];

	if (c->out.pos == 0 &&
	    clock_ms() - c->transport.sent_at > TICK_ANSWER_MS)
		term_write_raw(&c->out, tick, sizeof(tick));
}

static int serve_packet(struct connection *c, const char *packet, size_t size)
{
	struct dist_message message;
	size_t begin = c->out.pos;
	int error = dist_parse(packet, size, true, &message);

	if (error == 0)
		error = rpc_serve(&c->rpc, &message, &c->out);
	if (error < 0) /* no half an answer; those before it are whole */
		term_writer_rewind(&c->out, begin);
	return error;
}

/* Answers from the beginning of a request, and has the rest skipped. */
static int refuse_packet(struct connection *c, size_t size,
			 const struct raised *raised)
{
	size_t available =
		transport_available(&c->transport) - DIST_LENGTH_SIZE;
	size_t beginning = size < BEGINNING_SIZE ? size : BEGINNING_SIZE;
	struct dist_message message;
	size_t out = c->out.pos;
	int error;

	if (available < beginning)
		return -EAGAIN;
	if (available > size)
		available = size;
	error = dist_parse(transport_data(&c->transport) + DIST_LENGTH_SIZE,
			   beginning, false, &message);
	if (error == 0)
		error = rpc_refuse(&c->rpc, &message, raised, &c->out);
	if (error < 0) {
		term_writer_rewind(&c->out, out);
		return error == -ENOMEM ? error : -EMSGSIZE;
	}
	transport_consume(&c->transport, DIST_LENGTH_SIZE + available);
	c->skip = size - available;
	return 0;
}

static int refuse_too_long(struct connection *c, size_t size)
{
	static const struct raised too_big = { .reason = RAISED_TOO_BIG };
	static struct log_limit limit = LOG_LIMIT_INITIALIZER;
	int error = refuse_packet(c, size, &too_big);

	if (error == 0)
		log_limited(&limit, LOG_WARNING,
			    "refused a request of %s: its %zu octets are more "
			    "than --max-message %zu",
			    c->peer.name, size, c->service->max_message);
	return error;
}

static uint32_t next_length(const struct connection *c)
{
	const unsigned char *data =
		(const unsigned char *)transport_data(&c->transport);

	return (uint32_t)data[0] << 24 | (uint32_t)data[1] << 16 |
	       (uint32_t)data[2] << 8 | data[3];
}

/* There is no memory for the packet that has begun to come. */
static int refuse_for_memory(struct connection *c)
{
	static const struct raised no_memory = { .reason = RAISED_ERRNO,
						 .error = ENOMEM };
	static struct log_limit limit = LOG_LIMIT_INITIALIZER;
	size_t size = next_length(c);

	if (c->account.refused > 0)
		log_limited(&limit, LOG_WARNING,
			    "refused a request of %s: its %zu octets are more "
			    "than others leave of --max-memory %zu",
			    c->peer.name, size, c->service->budget->max);
	return refuse_packet(c, size, &no_memory) < 0 ? -ENOMEM : 0;
}

static void skip(struct connection *c)
{
	size_t available = transport_available(&c->transport);
	size_t size = c->skip < available ? c->skip : available;

	if (size == 0)
		return;
	transport_consume(&c->transport, size);
	c->skip -= size;
}

/* One packet. -EAGAIN: it is not all there yet. */
static int serve_next(struct connection *c)
{
	size_t available, size;
	int error = 0;

	skip(c);
	available = transport_available(&c->transport);
	if (available < DIST_LENGTH_SIZE)
		return -EAGAIN;
	size = next_length(c);
	if (size > c->service->max_message)
		return refuse_too_long(c, size);
	if (available < DIST_LENGTH_SIZE + size)
		return -EAGAIN;
	if (size == 0)
		serve_tick(c);
	else
		error = serve_packet(
			c, transport_data(&c->transport) + DIST_LENGTH_SIZE,
			size);
	transport_consume(&c->transport, DIST_LENGTH_SIZE + size);
	return error;
}

/* --- Input and output --------------------------------------------------- */

static int flush(struct connection *c)
{
	int error = 0;

	if (c->out.pos > 0)
		error = transport_send(&c->transport, c->out.buf, c->out.pos);
	if (error == 0)
		stats_add(&c->stats.octets_out, c->out.pos);
	term_writer_rewind(&c->out, 0);
	if (c->out.capacity > KEPT_OUT_SIZE)
		term_writer_fini(&c->out);
	return error;
}

/*
 * Whether an ordinary answer finds room behind those that wait, whatever others
 * hold of the memory. Where not, those are to go first.
 */
static bool has_room(struct connection *c)
{
	size_t pos = c->out.pos;

	if (pos <= ROOM_SIZE || term_write_reserve(&c->out, ROOM_SIZE))
		return true;
	term_writer_rewind(&c->out, pos);
	return false;
}

static bool is_stopped(const struct connection *c)
{
	return atomic_load_explicit(&c->transport.stopped,
				    memory_order_relaxed);
}

/*
 * Serves all that has come. What was done is answered, also before an end; what
 * has not begun when there is nobody to answer any more is not done.
 */
static int serve(struct connection *c)
{
	int error, flush_error = 0;

	do {
		error = serve_next(c);
		if (is_stopped(c))
			return -ECONNRESET;
		if (error < 0 || c->out.pos >= FLUSH_SIZE || !has_room(c))
			flush_error = flush(c);
	} while (error == 0 && flush_error == 0);
	return error == -EAGAIN || error == 0 ? flush_error : error;
}

static int tick_or_give_up(struct connection *c)
{
	if (++c->quiets >= QUIETS_MAX)
		return -ETIME;
	transport_tick(&c->transport);
	return 0;
}

static int receive(struct connection *c)
{
	ssize_t n = transport_receive(
		&c->transport, DIST_LENGTH_SIZE + c->service->max_message);

	if (n == -EAGAIN)
		return tick_or_give_up(c);
	if (n == -ENOSPC)
		return refuse_for_memory(c);
	if (n <= 0)
		return n < 0 ? (int)n : -ECONNRESET;
	c->quiets = 0;
	c->rpc.arrived = clock_ns();
	stats_add(&c->stats.octets_in, (uint64_t)n);
	return 0;
}

static int serve_until_end(struct connection *c)
{
	int error;

	do {
		atomic_fetch_add(&c->peer.turns, 1);
		atomic_store(&c->peer.busy, true);
		error = serve(c);
		atomic_store(&c->peer.busy, false);
		if (error == 0)
			error = receive(c);
	} while (error == 0);
	return error;
}

/* --- From the beginning to the end -------------------------------------- */

static const char *describe_end(int error, char *words, size_t size)
{
	switch (error) {
	case -ECONNRESET:
		return "it hung up";
	case -EBADMSG:
		return "it sent what is no packet";
	case -EMSGSIZE:
		return "it sent a packet longer than --max-message";
	case -ENOMEM:
		return "there is no memory for what it sent, or for an answer "
		       "to it; see --max-memory";
	case -ETIME:
		return "nothing came from it for --ticktime";
	case -ENOBUFS:
		return "more than --max-waiting octets waited for it for "
		       "longer than --ticktime";
	case -ETIMEDOUT:
		return "it took nothing in for --ticktime";
	default:
		snprintf(words, size, "%s", strerror(-error));
		return words;
	}
}

static void describe_address(int fd, char *text, size_t size)
{
	struct sockaddr_in address = { 0 };
	socklen_t length = sizeof(address);
	char host[INET_ADDRSTRLEN];

	snprintf(text, size, "?");
	if (getpeername(fd, (struct sockaddr *)&address, &length) == 0 &&
	    inet_ntop(AF_INET, &address.sin_addr, host, sizeof(host)))
		snprintf(text, size, "%s:%u", host, ntohs(address.sin_port));
}

static const char ending[] = "this node is ending";

/* NULL, or why no node of that name is let in. */
static const char *judge_name(void *context, const char *name)
{
	struct connection *c = context;
	const struct service *service = c->service;

	if (!strchr(name, '@'))
		return "its name has no @";
	if (!term_is_node_name(name, strlen(name)))
		return "its name is no text of UTF-8 of 255 characters at most";
	if (strcmp(name, service->node->thisnodename) == 0)
		return "it calls itself by the name of this node";
	c->rpc.functions.permission =
		permissions_of(service->permissions, name);
	if (c->rpc.functions.permission == PERMISSION_NONE)
		return "--allow gives it nothing";
	return NULL;
}

/* NULL, or why the peer is not taken in. */
static const char *shake_hands(struct connection *c, ErlConnect *peer)
{
	struct service *service = c->service;
	struct handshake handshake = {
		.node = service->node,
		.listener = service->listener,
		.deadline = c->peer.deadline,
		.judge = judge_name,
		.context = c,
	};
	const char *failure = handshake_accept(&handshake, &c->transport, peer);

	if (failure)
		return peers_was_replaced(service->peers, &c->peer)
			       ? "it was the oldest of --max-handshakes"
			       : failure;
	switch (peers_join(service->peers, &c->peer, peer->nodename,
			   service->handles, &c->rpc.functions.owner)) {
	case 0:
		return NULL;
	case -EMFILE:
		return "there are --max-connections already";
	case -ETIMEDOUT:
		return "what its last connection had asked for does not end";
	case -ESHUTDOWN:
		return ending;
	case -ESTALE:
		return "another connection has taken its place";
	default:
		return "there is no memory";
	}
}

static bool handshake(struct connection *c, const char *address)
{
	static struct log_limit limit = LOG_LIMIT_INITIALIZER;
	ErlConnect peer;
	const char *refusal = shake_hands(c, &peer);

	if (!refusal)
		return true;
	if (refusal != ending)
		stats_refused(c->service->stats);
	log_limited(&limit, refusal == ending ? LOG_INFO : LOG_WARNING,
		    "refused %s %s: %s", address,
		    peer.nodename[0] ? peer.nodename : "(no name)", refusal);
	return false;
}

static void serve_peer(struct connection *c, const char *address)
{
	static struct log_limit coming = LOG_LIMIT_INITIALIZER,
				going = LOG_LIMIT_INITIALIZER;
	char words[128];
	int error;

	log_limited(&coming, LOG_NOTICE, "connected %s from %s", c->peer.name,
		    address);
	stats_join(c->service->stats, &c->stats);
	rpc_resume(&c->rpc, &c->out);
	error = c->out.failed ? -ENOMEM : serve_until_end(c);
	log_limited(&going, LOG_NOTICE, "disconnected %s: %s", c->peer.name,
		    describe_end(error, words, sizeof(words)));
	stats_leave(c->service->stats, &c->stats);
	handles_owner_down(c->service->handles, c->rpc.functions.owner);
}

static void free_connection(struct connection *c)
{
	if (c->entered)
		peers_leave(c->service->peers, &c->peer);
	functions_context_fini(&c->rpc.functions);
	term_writer_fini(&c->out);
	transport_fini(&c->transport);
	free(c);
	memory_give_back();
}

static void *run(void *argument)
{
	struct connection *c = argument;
	char address[INET_ADDRSTRLEN + 8];

	describe_address(c->transport.fd, address, sizeof(address));
	c->rpc.name = c->service->node->thisnodename;
	c->rpc.peer = c->peer.name;
	c->rpc.functions.handles = c->service->handles;
	c->rpc.functions.map_memory = c->service->map_memory;
	c->rpc.functions.account = &c->account;
	c->rpc.functions.peer = c->peer.name;
	c->rpc.functions.pin_root = &c->service->pin_root;
	c->rpc.functions.file_root = &c->service->file_root;
	c->rpc.functions.pin_limit = &c->service->pin_limit;
	c->rpc.functions.max_message = c->service->max_message;
	c->rpc.functions.stats = &c->stats;
	c->rpc.functions.all_stats = c->service->stats;
	c->rpc.functions.stopped = &c->transport.stopped;
	if (pids_init(&c->rpc.pids, c->service->node) &&
	    handshake(c, address)) {
		c->rpc.peer_flags = c->transport.peer_flags;
		c->rpc.peer_size = strlen(c->peer.name);
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
	static struct log_limit limit = LOG_LIMIT_INITIALIZER;
	struct connection *c = calloc(1, sizeof(*c));
	int error = -ENOMEM;

	if (!c) {
		close(fd);
		stats_refused(service->stats);
		log_limited(&limit, LOG_WARNING, "refused a connection: %s",
			    strerror(ENOMEM));
		return;
	}
	c->service = service;
	c->peer.transport = &c->transport;
	c->peer.deadline = clock_ms() + HANDSHAKE_MS;
	c->account.budget = service->budget;
	term_writer_init(&c->out);
	c->out.account = &c->account;
	if (transport_init(&c->transport, fd, service->ticktime,
			   service->max_waiting, &c->account)) {
		error = peers_enter(service->peers, &c->peer);
		c->entered = error == 0;
	}
	if (error == 0)
		error = start_thread(c);
	if (error < 0) {
		stats_refused(service->stats);
		log_limited(&limit, LOG_WARNING, "refused a connection: %s",
			    error == -EMFILE
				    ? "there are too many handshakes; see "
				      "--max-handshakes"
				    : strerror(-error));
		free_connection(c);
	}
}
