/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A record of a handshake is what TLS begins with; the length of a first packet
 * is what a plain connection does, and never as large.
 */
#include "dist/opening.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "tls/tls_session.h"

#define HANDSHAKE_RECORD 0x16
#define RECEIVE_SIZE 65536

const char *opening_failure(const struct transport *t, int error)
{
	switch (error) {
	case ETIMEDOUT:
		return "the handshake timed out";
	case ECONNRESET:
	case EPIPE:
		return "it disconnected during the handshake";
	case EPROTO:
		return tls_session_failure(t->tls);
	default:
		return strerror(error);
	}
}

/* 0, or -errno as above. */
static int receive_first(struct transport *t)
{
	int error = transport_await(t, POLLIN);
	ssize_t n;

	if (error < 0)
		return error;
	n = transport_receive(t, RECEIVE_SIZE);
	return n > 0 ? 0 : n == 0 ? -ECONNRESET : (int)n;
}

static void tell(struct transport *t, const char *bytes, size_t size)
{
	if (transport_await(t, POLLOUT) == 0)
		transport_send(t, bytes, size);
}

static const char *refuse_tls(struct transport *t)
{
	/* a fatal alert: handshake_failure */
	static const char alert[] = "\25\3\3\0\2\2\50";

	tell(t, alert, sizeof(alert) - 1);
	return "it speaks TLS, and this node does not";
}

static const char *refuse_plain(struct transport *t)
{
	static const char status[] = "\0\14snot_allowed";

	tell(t, status, sizeof(status) - 1);
	return "it does not speak TLS, and this node wants that: start it with "
	       "-proto_dist inet_tls, or this node with --tls-or-plain";
}

static const char *explain(const struct transport *t, const struct tls *tls,
			   int error)
{
	if (tls && (error == -ECONNRESET || error == -EPIPE))
		return "it disconnected before the end of the handshake of "
		       "TLS; if its log says nothing, its -ssl_dist_optfile "
		       "may name a file that it cannot read";
	return opening_failure(t, -error);
}

static const char *secure(struct transport *t, struct tls *tls)
{
	struct tls_session *session = tls_session_new(tls);
	int error = session ? transport_secure(t, session) : -ENOMEM;

	return error < 0 ? explain(t, tls, error) : NULL;
}

const char *opening_settle(struct transport *t, struct tls *tls, bool or_plain)
{
	int error = receive_first(t);

	if (error < 0)
		return explain(t, tls, error);
	if (*transport_data(t) == HANDSHAKE_RECORD)
		return tls ? secure(t, tls) : refuse_tls(t);
	return tls && !or_plain ? refuse_plain(t) : NULL;
}
