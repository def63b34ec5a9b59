/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stream with a session of TLS in it: what is received goes through it, as
 * does what is sent; and it has something to say itself.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/clock.h"
#include "dist/transport_internal.h"
#include "tls/tls_session.h"

/* of plain text that TLS makes one send(2) of; it has a copy of that much */
#define SEALED_SIZE ((size_t)256 * 1024)

/*
 * Puts as much as there is of plain text where data is received, and sends what
 * the session itself has to say. Answers as tls_session_read().
 */
ssize_t transport_open_received(struct transport *t)
{
	const struct transport_sending sending = transport_begin_sending(t, 0);
	size_t room = t->in_capacity - t->in_end, got = 0;
	ssize_t n = 1;
	int error;

	pthread_mutex_lock(&t->out_lock);
	while (got < room && n > 0) {
		n = tls_session_read(t->tls, t->in + t->in_end + got,
				     room - got);
		got += n > 0 ? (size_t)n : 0;
	}
	error = transport_send_rest(t, &sending);
	transport_unlock_out(t);
	if (n == -EPROTO || error < 0)
		return n == -EPROTO ? n : error;
	return got > 0 ? (ssize_t)got : n;
}

/* By one recv(2). > 0, or as transport_receive(). */
static ssize_t receive_sealed(struct transport *t)
{
	size_t size;
	char *room = tls_session_room(t->tls, &size);
	ssize_t n = transport_receive_raw(t, room, size);

	if (n > 0)
		tls_session_received(t->tls, (size_t)n);
	return n;
}

/* A record may come in parts, and have no data. */
ssize_t transport_receive_opened(struct transport *t)
{
	ssize_t n = transport_open_received(t);

	while (n == -EAGAIN) {
		if (t->deadline > 0 && clock_ms() >= t->deadline)
			return -ETIMEDOUT;
		n = receive_sealed(t);
		if (n > 0)
			n = transport_open_received(t);
		else
			break;
	}
	return n;
}

/* However often a little comes. */
static bool is_late(const struct transport *t,
		    const struct transport_sending *sending)
{
	int64_t now = clock_ms();

	return now >= sending->deadline ||
	       (t->deadline > 0 && now >= t->deadline);
}

/* The peer has begun a handshake, and sends no data before it is over. */
static int settle(struct transport *t, const struct transport_sending *sending)
{
	int result = tls_session_settle(t->tls), error;
	ssize_t n;

	for (;;) {
		error = transport_send_rest(t, sending);
		if (error < 0 || result != -EAGAIN)
			return error < 0 ? error : result;
		if (is_late(t, sending))
			return -ETIMEDOUT;
		n = receive_sealed(t);
		if (n <= 0)
			return n == 0         ? -ECONNRESET
			       : n == -EAGAIN ? -ETIMEDOUT
					      : (int)n;
		result = tls_session_settle(t->tls);
	}
}

int transport_send_sealed(struct transport *t, const char *data, size_t size,
			  const struct transport_sending *sending)
{
	size_t n;
	int error = 0;

	for (; error == 0 && size > 0; data += n, size -= n) {
		n = size < SEALED_SIZE ? size : SEALED_SIZE;
		error = settle(t, sending);
		if (error == 0)
			error = tls_session_write(t->tls, data, n);
		if (error == 0)
			error = transport_send_rest(t, sending);
		if (error == 0 && n < size && !sending->may_wait &&
		    clock_ms() >= sending->deadline)
			error = -ENOBUFS;
	}
	return error;
}

/* What has come so far was the beginning of TLS. */
static void hand_over(struct transport *t)
{
	size_t size;
	char *room = tls_session_room(t->tls, &size);
	size_t available = transport_available(t);

	if (available < size)
		size = available;
	memcpy(room, transport_data(t), size);
	tls_session_received(t->tls, size);
	t->in_pos = t->in_end = 0;
}

/* What is owed tells the peer of a failure, too. */
static int shake_hands(struct transport *t)
{
	const struct transport_sending sending = transport_begin_sending(t, 0);
	int result, error;
	ssize_t n;

	for (;;) {
		result = tls_session_shake_hands(t->tls);
		error = transport_await(t, POLLOUT);
		if (error == 0)
			error = transport_send_rest(t, &sending);
		if (result != -EAGAIN || error < 0)
			return result != -EAGAIN ? result : error;
		error = transport_await(t, POLLIN);
		if (error < 0)
			return error;
		n = receive_sealed(t);
		if (n <= 0)
			return n < 0 ? (int)n : -ECONNRESET;
	}
}

int transport_secure(struct transport *t, struct tls_session *tls)
{
	int error;

	t->tls = tls;
	hand_over(t);
	pthread_mutex_lock(&t->out_lock);
	error = shake_hands(t);
	transport_unlock_out(t);
	return error;
}

enum transport_offered transport_offer_sealed(struct transport *t,
					      const char *data, size_t size)
{
	int error = tls_session_write(t->tls, data, size);

	if (error == -EAGAIN)
		return TRANSPORT_BUSY; /* until the peer's handshake is over */
	transport_note_send(t);
	if (error < 0) {
		transport_shutdown(t);
		return TRANSPORT_SENT;
	}
	return transport_try_rest(t) ? TRANSPORT_SENT : TRANSPORT_KEPT;
}
