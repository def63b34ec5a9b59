/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The buffered stream under a connection. Of its contents it knows only ticks.
 * With TLS a session lies between it and the socket, in both directions.
 */
#include "dist/transport_internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/budget.h"
#include "base/clock.h"
#include "tls/tls_session.h"

#define BUFFER_SIZE 65536
#define TICK_SIZE 4

static const char tick[TICK_SIZE];

bool transport_init(struct transport *t, int fd, unsigned ticktime,
		    size_t max_waiting, struct account *account)
{
	int on = 1;

	memset(t, 0, sizeof(*t));
	t->fd = fd;
	t->ticktime = ticktime;
	t->max_waiting = max_waiting;
	t->account = account;
	pthread_mutex_init(&t->out_lock, NULL);
	t->in = budget_realloc(account, NULL, 0, BUFFER_SIZE);
	t->in_capacity = BUFFER_SIZE;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return t->in;
}

void transport_fini(struct transport *t)
{
	if (t->fd >= 0)
		close(t->fd);
	t->fd = -1;
	budget_free(t->account, t->in, t->in_capacity);
	tls_session_free(t->tls);
	free(t->rest.block);
	pthread_mutex_destroy(&t->out_lock);
}

static void bound_waits(const struct transport *t, unsigned seconds)
{
	struct timeval send_limit = { .tv_sec = seconds };
	struct timeval receive_limit = {
		.tv_sec = seconds / 4,
		.tv_usec = 250000L * (seconds % 4),
	};

	setsockopt(t->fd, SOL_SOCKET, SO_SNDTIMEO, &send_limit,
		   sizeof(send_limit));
	setsockopt(t->fd, SOL_SOCKET, SO_RCVTIMEO, &receive_limit,
		   sizeof(receive_limit));
}

void transport_begin_handshake(struct transport *t, int64_t deadline)
{
	int64_t left = deadline - clock_ms();

	t->deadline = deadline;
	bound_waits(t, left > 0 ? (unsigned)(left / 1000) + 1 : 1);
}

void transport_end_handshake(struct transport *t)
{
	t->deadline = 0;
	bound_waits(t, t->ticktime);
	t->sent_at = clock_ms();
}

int transport_await(struct transport *t, short events)
{
	struct pollfd ready = { .fd = t->fd, .events = events };
	int64_t left;
	int n;

	do {
		left = t->deadline - clock_ms();
		if (left <= 0)
			return -ETIMEDOUT;
		n = poll(&ready, 1, (int)left);
	} while (n == 0 || (n < 0 && errno == EINTR));
	return n < 0 ? -errno : 0;
}

size_t transport_available(const struct transport *t)
{
	return t->in_end - t->in_pos;
}

const char *transport_data(const struct transport *t)
{
	return t->in + t->in_pos;
}

/* Only for large buffers: small ones may wait for as long as they like. */
static void begin_wait(struct transport *t)
{
	if (t->account && atomic_load(&t->account->held) > 0 &&
	    atomic_load(&t->waiting_since) == 0)
		atomic_store(&t->waiting_since, clock_ms());
}

static void end_wait(struct transport *t)
{
	if (atomic_load(&t->waiting_since) != 0)
		atomic_store(&t->waiting_since, 0);
}

static int resize(struct transport *t, size_t capacity)
{
	char *in = budget_realloc(t->account, t->in, t->in_capacity, capacity);

	if (!in)
		return -ENOSPC;
	t->in = in;
	t->in_capacity = capacity;
	return 0;
}

static void to_front(struct transport *t)
{
	memmove(t->in, t->in + t->in_pos, transport_available(t));
	t->in_end -= t->in_pos;
	t->in_pos = 0;
}

/*
 * After a large message the buffer shrinks to the data left in it: a peer that
 * keeps sending must not hold on to that memory.
 */
static void shrink(struct transport *t)
{
	size_t capacity = BUFFER_SIZE;

	while (capacity < transport_available(t))
		capacity *= 2;
	if (capacity >= t->in_capacity)
		return;
	to_front(t);
	resize(t, capacity); /* on failure it stays as it is */
}

/*
 * A message that comes in parts has waited since its first part. Data behind a
 * large message came with the end of that message.
 */
static void wait_for_rest(struct transport *t, size_t size, size_t rest)
{
	if (size > BUFFER_SIZE || rest <= BUFFER_SIZE)
		end_wait(t);
	if (rest > BUFFER_SIZE)
		begin_wait(t);
}

void transport_has_come(struct transport *t, size_t size)
{
	wait_for_rest(t, size, transport_available(t) - size);
}

void transport_consume(struct transport *t, size_t size)
{
	t->in_pos += size;
	if (t->in_pos == t->in_end)
		t->in_pos = t->in_end = 0;
	if (t->in_capacity > BUFFER_SIZE)
		shrink(t);
	wait_for_rest(t, size, transport_available(t));
}

/* Room at the end: what is there moves to the front; a full buffer doubles. */
static int reserve(struct transport *t, size_t wanted)
{
	size_t capacity;

	to_front(t);
	if (t->in_end < t->in_capacity)
		return 0;
	capacity = t->in_capacity * 2 < wanted ? t->in_capacity * 2 : wanted;
	return capacity > t->in_capacity ? resize(t, capacity) : -ENOBUFS;
}

/* --- Sending ------------------------------------------------------------- */

int transport_send_raw(const struct transport *t, const char *data, size_t size,
		       const struct transport_sending *sending)
{
	ssize_t n;

	while (size > 0) {
		n = send(t->fd, data, size, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		data += n;
		size -= (size_t)n;
		if (size > 0 && !sending->may_wait &&
		    clock_ms() >= sending->deadline)
			return -ENOBUFS;
	}
	return 0;
}

static size_t rest_of(const struct transport *t, const char **bytes)
{
	if (t->tls)
		return tls_session_owed(t->tls, bytes);
	*bytes = t->rest.bytes;
	return t->rest.size;
}

static void rest_was_sent(struct transport *t, size_t size)
{
	if (t->tls) {
		tls_session_sent(t->tls, size);
		return;
	}
	t->rest.bytes += size;
	t->rest.size -= size;
	if (t->rest.size > 0)
		return;
	free(t->rest.block);
	t->rest = (struct transport_rest){ .size = 0 };
}

int transport_send_rest(struct transport *t,
			const struct transport_sending *sending)
{
	const char *bytes;
	size_t size = rest_of(t, &bytes);
	int error = size > 0 ? transport_send_raw(t, bytes, size, sending) : 0;

	if (size > 0 && error == 0)
		rest_was_sent(t, size);
	return error;
}

/* An offer that came too early has set awaited, and then tried once more. */
void transport_unlock_out(struct transport *t)
{
	pthread_mutex_unlock(&t->out_lock);
	if (atomic_load(&t->awaited) && atomic_exchange(&t->awaited, false))
		t->is_free(t->context);
}

/* --- The owner ----------------------------------------------------------- */

ssize_t transport_receive(struct transport *t, size_t wanted)
{
	int error = reserve(t, wanted);
	ssize_t n;

	if (error < 0)
		return error;
	begin_wait(t);
	n = t->tls ? transport_receive_opened(t)
		   : transport_receive_raw(t, t->in + t->in_end,
					   t->in_capacity - t->in_end);
	if (n > 0)
		t->in_end += (size_t)n;
	return n;
}

ssize_t transport_receive_rest(struct transport *t)
{
	ssize_t n;

	if (!t->tls)
		return -EAGAIN;
	to_front(t);
	n = transport_open_received(t);
	if (n > 0)
		t->in_end += (size_t)n;
	return n;
}

void transport_note_send(struct transport *t)
{
	t->sent_at = clock_ms();
	atomic_fetch_add(&t->sends, 1);
}

static int send_plain(struct transport *t, const char *data, size_t size,
		      const struct transport_sending *sending)
{
	int error = t->rest.size > 0 ? transport_send_rest(t, sending) : 0;

	return error < 0 ? error : transport_send_raw(t, data, size, sending);
}

int transport_send(struct transport *t, const char *data, size_t size)
{
	const struct transport_sending sending =
		transport_begin_sending(t, size);
	int error;

	begin_wait(t);
	pthread_mutex_lock(&t->out_lock);
	error = t->tls ? transport_send_sealed(t, data, size, &sending)
		       : send_plain(t, data, size, &sending);
	transport_note_send(t);
	transport_unlock_out(t);
	if (transport_available(t) <= BUFFER_SIZE)
		end_wait(t);
	return error;
}

/* --- From other threads -------------------------------------------------- */

static ssize_t send_at_once(const struct transport *t, const char *data,
			    size_t size)
{
	ssize_t n;

	do {
		n = send(t->fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	return n < 0 && errno == EAGAIN ? 0 : n;
}

/* False: there still is some. */
bool transport_try_rest(struct transport *t)
{
	const char *bytes;
	size_t size = rest_of(t, &bytes);
	ssize_t n;

	if (size == 0)
		return true;
	n = send_at_once(t, bytes, size);
	if (n != 0) /* after an error the owner finds what is wrong */
		rest_was_sent(t, n > 0 ? (size_t)n : size);
	return n < 0 || (size_t)n == size;
}

/* Without memory for what is left of a packet, no other can follow it. */
static void keep_rest(struct transport *t, const char *data, size_t size)
{
	char *block = malloc(size);

	if (!block) {
		transport_shutdown(t);
		return;
	}
	memcpy(block, data, size);
	t->rest = (struct transport_rest){ block, size, block };
}

static enum transport_offered offer_plain(struct transport *t, const char *data,
					  size_t size)
{
	ssize_t n = send_at_once(t, data, size);

	if (n == 0)
		return TRANSPORT_FULL;
	transport_note_send(t);
	if (n < 0 || (size_t)n == size)
		return TRANSPORT_SENT;
	keep_rest(t, data + n, size - (size_t)n);
	return TRANSPORT_KEPT;
}

static enum transport_offered offer(struct transport *t, const char *data,
				    size_t size)
{
	if (!transport_try_rest(t))
		return TRANSPORT_FULL;
	if (size == 0)
		return TRANSPORT_SENT;
	return t->tls ? transport_offer_sealed(t, data, size)
		      : offer_plain(t, data, size);
}

void transport_tick(struct transport *t)
{
	if (pthread_mutex_trylock(&t->out_lock) != 0)
		return;
	offer(t, tick, TICK_SIZE);
	transport_unlock_out(t);
}

enum transport_offered transport_offer(struct transport *t, const char *data,
				       size_t size)
{
	enum transport_offered offered;

	if (pthread_mutex_trylock(&t->out_lock) != 0) {
		atomic_store(&t->awaited, true);
		if (pthread_mutex_trylock(&t->out_lock) != 0)
			return TRANSPORT_BUSY;
	}
	atomic_store(&t->awaited, false);
	offered = offer(t, data, size);
	if (offered == TRANSPORT_BUSY)
		atomic_store(&t->awaited, true);
	pthread_mutex_unlock(&t->out_lock);
	return offered;
}

/*
 * An Erlang node never shuts down only one direction, so the end of its data is
 * the end of the connection. While the owner does not read, the window may be
 * closed to the peer's data, but it still acknowledges ours. A send in progress
 * has its own limits.
 */
bool transport_is_gone(struct transport *t)
{
	const uint64_t most = t->ticktime * UINT64_C(1000);
	struct tcp_info info = { 0 };
	socklen_t size = sizeof(info);

	if (getsockopt(t->fd, IPPROTO_TCP, TCP_INFO, &info, &size) < 0)
		return false;
	if (info.tcpi_state != TCP_ESTABLISHED)
		return true;
	if (info.tcpi_last_data_recv <= most || info.tcpi_last_ack_recv <= most)
		return false;
	if (pthread_mutex_trylock(&t->out_lock) != 0)
		return false;
	transport_unlock_out(t);
	return true;
}

void transport_shutdown(struct transport *t)
{
	atomic_store(&t->stopped, true);
	shutdown(t->fd, SHUT_RDWR);
}
