/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket callbacks by which ei performs the handshake, and which do what ei
 * leaves out. Once the handshake is over, ei is not used.
 *
 * libei offers too few capabilities for rpc and erpc to call a C node. So the
 * write callback adds the missing ones to the flags of our 'N' packet:
 *
 *	Length:16 $N Flags:64 Challenge:32 Creation:32 NameLength:16 Name
 *
 * The read callback keeps the peer's packet, since ei drops flags and creation,
 * and any name that is too long for it:
 *
 *	Length:16 $N Flags:64 Creation:32 NameLength:16 Name
 *
 * And if the peer is to be refused, the write callback replaces ei's status by
 * not_allowed, and fails: after that status an Erlang node never believes that
 * it is connected.
 *
 *	Length:16 $s Status
 *
 * Over TLS all lengths have 32 bits. ei goes on with 16, so the callbacks put
 * the rest in front, and take it off: ei would make room for whatever a length
 * says.
 */
#include "dist/handshake.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "dist/address.h"
#include "dist/dflags.h"
#include "dist/opening.h"

#define LENGTH_SIZE 2
#define MAX_PACKET                                                             \
	512 /* ei's longest is an 'N' packet with a 255-byte name              \
	     */
#define FLAGS_OFFSET 3
#define CREATION_OFFSET 11
#define NAME_LENGTH_OFFSET 15
#define NO_ERLANG_NODE "it is not an Erlang node of OTP 25 or later"
#define RECEIVE_SIZE 65536
/* over TLS the length has two bytes more in front, which have to be 0 */
#define SEALED_MORE 2

#define ADDED_FLAGS                                                            \
	(DFLAG_SPAWN | DFLAG_ALIAS | DFLAG_DIST_MONITOR_NAME |                 \
	 DFLAG_EXIT_PAYLOAD)

static uint64_t get_be(const char *at, int size)
{
	uint64_t value = 0;

	for (int i = 0; i < size; i++)
		value = value << 8 | (unsigned char)at[i];
	return value;
}

static void put_be64(char *at, uint64_t value)
{
	for (int i = 0; i < 8; i++)
		at[i] = (char)(value >> (8 * (7 - i)));
}

/* --- Sockets ------------------------------------------------------------ */

/*
 * ei_accept() wants to accept a connection from the listening socket, but ours
 * are accepted earlier, so that each handshake runs in a thread of its own.
 * This thread's connection waits here until ei asks for it.
 */
static _Thread_local struct transport *offered;

static int callback_socket(void **context, void *setup_context)
{
	*context = setup_context; /* a socket that listens already */
	return 0;
}

/* ei knows addresses of IPv4 alone, and of ours needs but the port. */
static void tell_port(void *address, int *size, uint16_t port)
{
	const struct sockaddr_in told = { .sin_family = AF_INET,
					  .sin_port = htons(port) };

	memcpy(address, &told, sizeof(told));
	*size = sizeof(told);
}

static int callback_listen(void *context, void *address, int *size, int backlog)
{
	const struct transport *listener = context;
	struct address own = { .size = sizeof(own.v6) };

	(void)backlog;
	if (getsockname(listener->fd, &own.any, &own.size) < 0)
		return errno;
	tell_port(address, size, address_port(&own));
	return 0;
}

static int callback_accept(void **context, void *address, int *size,
			   unsigned timeout)
{
	(void)timeout;
	if (!offered)
		return EINVAL;
	tell_port(address, size, 0);
	*context = offered;
	return 0;
}

static int callback_connect(void *context, void *address, int size,
			    unsigned timeout)
{
	(void)context;
	(void)address;
	(void)size;
	(void)timeout;
	return ENOTSUP; /* this node connects to no other */
}

/* The transport's owner closes it, not ei. */
static int callback_close(void *context)
{
	(void)context;
	return 0;
}

/* --- The peer's first packet -------------------------------------------- */

/* Until our first answer, the peer sends nothing else. */
static void keep_first(struct handshake *h, const char *bytes, size_t size)
{
	size_t left = sizeof(h->first) - h->first_size;

	if (h->writes > 0)
		return;
	if (size > left)
		size = left;
	memcpy(h->first + h->first_size, bytes, size);
	h->first_size += size;
}

/* Whether it contains a name, and the name's size. */
static bool has_name(const struct handshake *h, size_t *size)
{
	size_t rest;

	if (h->first_size < HANDSHAKE_NAME_OFFSET ||
	    h->first[LENGTH_SIZE] != 'N')
		return false;
	rest = get_be(h->first, LENGTH_SIZE) + LENGTH_SIZE;
	*size = get_be(h->first + NAME_LENGTH_OFFSET, 2);
	return rest >= HANDSHAKE_NAME_OFFSET + *size;
}

/* Whether ei has the name exactly as the peer sent it. */
static bool is_as_sent(const struct handshake *h)
{
	const char *name = h->peer->nodename;
	size_t size;

	return has_name(h, &size) && size == strlen(name) &&
	       memcmp(h->first + HANDSHAKE_NAME_OFFSET, name, size) == 0;
}

/* For the log, if ei has not copied the name. */
static void copy_name(struct handshake *h)
{
	size_t kept = h->first_size - HANDSHAKE_NAME_OFFSET;
	size_t size;

	if (h->peer->nodename[0] || !has_name(h, &size))
		return;
	memcpy(h->peer->nodename, h->first + HANDSHAKE_NAME_OFFSET,
	       size < kept ? size : kept);
}

/* --- Bytes ------------------------------------------------------------- */

static int fail(struct transport *t, int error)
{
	t->handshake->error = error;
	return error;
}

/* A packet, with a length of 16 bits. */
static int send_packet(struct transport *t, const char *packet, size_t size)
{
	char sealed[SEALED_MORE + MAX_PACKET] = { 0 };
	int error = transport_await(t, POLLOUT);

	if (error < 0)
		return fail(t, -error);
	memcpy(sealed + SEALED_MORE, packet, size);
	error = t->tls ? transport_send(t, sealed, SEALED_MORE + size)
		       : transport_send(t, packet, size);
	return error ? fail(t, -error) : 0;
}

static void refuse(struct transport *t)
{
	static const char status[] = "\0\14snot_allowed";

	send_packet(t, status, sizeof(status) - 1);
}

/* Called when ei has copied the name, and is about to send its status. */
static const char *judge(const struct handshake *h)
{
	/* such a node sends its host's name only */
	if (get_be(h->first + FLAGS_OFFSET, 8) & DFLAG_NAME_ME)
		return "it asks for a name, which libei cannot give; "
		       "connect it to a node of the cluster first, or start it "
		       "with a name";
	return is_as_sent(h) ? h->judge(h->context, h->peer->nodename)
			     : "its name contains a NUL byte";
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the type is ei's */
static int callback_write(void *context, const char *bytes, ssize_t *size,
			  unsigned timeout)
{
	struct transport *t = context;
	struct handshake *h = t->handshake;
	char packet[MAX_PACKET];

	(void)timeout;
	if (*size < 0 || (size_t)*size > sizeof(packet))
		return fail(t, EMSGSIZE);
	if (h->writes++ == 0 && (h->refusal = judge(h))) {
		refuse(t);
		return EACCES;
	}
	memcpy(packet, bytes, (size_t)*size);
	if (*size >= FLAGS_OFFSET + 8 && packet[LENGTH_SIZE] == 'N')
		put_be64(packet + FLAGS_OFFSET,
			 get_be(packet + FLAGS_OFFSET, 8) | ADDED_FLAGS);
	return send_packet(t, packet, (size_t)*size);
}

/* 0 once something is there. */
static int receive(struct transport *t)
{
	ssize_t n = transport_receive_rest(t);
	int error;

	if (n == -EAGAIN) {
		error = transport_await(t, POLLIN);
		if (error < 0)
			return fail(t, -error);
		n = transport_receive(t, RECEIVE_SIZE);
	}
	if (n == 0)
		return fail(t, ECONNRESET);
	return n < 0 && n != -EAGAIN ? fail(t, (int)-n) : 0;
}

/* At the beginning of a packet over TLS. */
static int take_length(struct transport *t)
{
	struct handshake *h = t->handshake;
	int error;

	while (transport_available(t) < SEALED_MORE + LENGTH_SIZE) {
		error = receive(t);
		if (error)
			return error;
	}
	if (get_be(transport_data(t), SEALED_MORE) != 0) {
		h->refusal = NO_ERLANG_NODE;
		return fail(t, EMSGSIZE);
	}
	transport_consume(t, SEALED_MORE);
	h->left = LENGTH_SIZE + get_be(transport_data(t), LENGTH_SIZE);
	return 0;
}

static int callback_read(void *context, char *bytes, ssize_t *size,
			 unsigned timeout)
{
	struct transport *t = context;
	struct handshake *h = t->handshake;
	int error = 0;

	(void)timeout;
	if (t->tls && h->left == 0)
		error = take_length(t);
	while (!error && transport_available(t) == 0)
		error = receive(t);
	if (error)
		return error;
	if ((size_t)*size > transport_available(t))
		*size = (ssize_t)transport_available(t);
	if (t->tls && (size_t)*size > h->left)
		*size = (ssize_t)h->left;
	memcpy(bytes, transport_data(t), (size_t)*size);
	keep_first(h, bytes, (size_t)*size);
	transport_consume(t, (size_t)*size);
	h->left -= t->tls ? (size_t)*size : 0;
	return 0;
}

static int callback_header_size(void *context, int *size)
{
	(void)context;
	*size = LENGTH_SIZE;
	return 0;
}

static int callback_fd(void *context, int *fd)
{
	struct transport *t = context;

	*fd = t->fd;
	return 0;
}

ei_socket_callbacks handshake_callbacks = {
	/* they keep the deadline themselves: ei uses select(2), which overruns
	 * its set for descriptors from 1024 on */
	.flags = EI_SCLBK_FLG_FULL_IMPL,
	.socket = callback_socket,
	.close = callback_close,
	.listen = callback_listen,
	.accept = callback_accept,
	.connect = callback_connect,
	.write = callback_write,
	.read = callback_read,
	.handshake_packet_header_size = callback_header_size,
	.get_fd = callback_fd,
};

/* --- The whole ---------------------------------------------------------- */

_Static_assert(MAXNODELEN == 256, "a log line says so");

/* ei rejected the first packet, or what came of it. */
static const char *explain_first(const struct handshake *h)
{
	size_t size;

	if (has_name(h, &size) && size > MAXNODELEN)
		return "its name is longer than 256 bytes, the most that "
		       "libei takes";
	return NO_ERLANG_NODE;
}

static const char *explain(const struct handshake *h, const struct transport *t)
{
	if (h->refusal)
		return h->refusal;
	if (h->error)
		return opening_failure(t, h->error);
	return h->writes == 0 ? explain_first(h) : "it has a different cookie";
}

/* Never 0, by which ei means no limit. */
static unsigned left_ms(const struct transport *t)
{
	int64_t left = t->deadline - clock_ms();

	return left > 0 ? (unsigned)left : 1;
}

static const char *accept_by_ei(struct handshake *h, struct transport *t)
{
	const char *failure;
	size_t size;
	int fd;

	offered = t;
	fd = ei_accept_tmo(h->node, h->listener, h->peer, left_ms(t));
	offered = NULL;
	if (fd < 0) {
		failure = explain(h, t);
		if (h->writes == 0 && h->error == 0 && has_name(h, &size))
			refuse(t);
		copy_name(h);
		return failure;
	}
	ei_close_connection(fd); /* ei forgets it; the descriptor stays ours */
	return is_as_sent(h) ? NULL : "its name changed during the handshake";
}

const char *handshake_accept(struct handshake *h, struct transport *t,
			     ErlConnect *peer)
{
	const char *failure;

	memset(peer, 0, sizeof(*peer));
	h->peer = peer;
	t->handshake = h;
	failure = accept_by_ei(h, t);
	t->handshake = NULL;
	if (failure)
		return failure;
	t->peer_flags = get_be(h->first + FLAGS_OFFSET, 8);
	t->peer_creation = (uint32_t)get_be(h->first + CREATION_OFFSET, 4);
	transport_end_handshake(t);
	return NULL;
}
