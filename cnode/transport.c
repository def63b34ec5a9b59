/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The buffered stream under a connection, and ei's way into it: its socket
 * callbacks, which it uses while the handshake runs and never after.
 *
 * libei offers too few capabilities for rpc and erpc to call a C node. So the
 * write callback adds what is missing to the flags of our 'N' packet:
 *
 *	Length:16 $N Flags:64 Challenge:32 Creation:32 NameLength:16 Name
 *
 * and the read callback notes flags and creation of the peer's, since ei drops
 * them:
 *
 *	Length:16 $N Flags:64 Creation:32 NameLength:16 Name
 *
 * Knows nothing of what travels after the handshake, but for ticks.
 */
#include "transport.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "budget.h"
#include "clock.h"
#include "dist.h"

#define HANDSHAKE_HEADER_SIZE 2
#define FLAGS_OFFSET 3
#define CREATION_OFFSET 11
#define BUFFER_SIZE 65536
#define TICK_SIZE 4

#define ADDED_FLAGS                                                            \
	(DIST_FLAG_SPAWN | DIST_FLAG_ALIAS | DIST_FLAG_DIST_MONITOR_NAME |     \
	 DIST_FLAG_EXIT_PAYLOAD)

static const char tick[TICK_SIZE];

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

/* --- Buffer and stream -------------------------------------------------- */

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
	pthread_mutex_destroy(&t->out_lock);
}

size_t transport_available(const struct transport *t)
{
	return t->in_end - t->in_pos;
}

const char *transport_data(const struct transport *t)
{
	return t->in + t->in_pos;
}

/* From now on, unless it does already. Small things may wait as they like. */
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

void transport_consume(struct transport *t, size_t size)
{
	t->in_pos += size;
	if (t->in_pos == t->in_end)
		t->in_pos = t->in_end = 0;
	end_wait(t);
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

/* Room at the end: what is there moves to the front; a full buffer doubles. */
static int make_room(struct transport *t, size_t wanted)
{
	size_t capacity = t->in_capacity;

	memmove(t->in, t->in + t->in_pos, transport_available(t));
	t->in_end -= t->in_pos;
	t->in_pos = 0;
	if (t->in_end == 0 && capacity > BUFFER_SIZE)
		resize(t, BUFFER_SIZE); /* or it stays as it is */
	if (t->in_end < t->in_capacity)
		return 0;
	capacity = capacity * 2 < wanted ? capacity * 2 : wanted;
	return capacity > t->in_capacity ? resize(t, capacity) : -ENOBUFS;
}

ssize_t transport_receive(struct transport *t, size_t wanted)
{
	int error = make_room(t, wanted);
	ssize_t n;

	if (error < 0)
		return error;
	begin_wait(t);
	do {
		n = recv(t->fd, t->in + t->in_end, t->in_capacity - t->in_end,
			 0);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	t->in_end += (size_t)n;
	return n;
}

/*
 * What is sent stays in memory as a whole until it is gone, so that it is the
 * size of that whole, and not of what is left, that a slow reader may not keep.
 */
static int send_all(struct transport *t, const char *data, size_t size)
{
	bool may_wait = size <= t->max_waiting;
	int64_t deadline =
		may_wait ? 0 : clock_ms() + t->ticktime * INT64_C(1000);
	ssize_t n;

	while (size > 0) {
		n = send(t->fd, data, size, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		data += n;
		size -= (size_t)n;
		if (size > 0 && !may_wait && clock_ms() >= deadline)
			return -ENOBUFS;
	}
	return 0;
}

int transport_send(struct transport *t, const char *data, size_t size)
{
	int error = 0;

	begin_wait(t);
	pthread_mutex_lock(&t->out_lock);
	if (t->owed > 0)
		error = send_all(t, tick, t->owed);
	if (error == 0) {
		t->owed = 0;
		error = send_all(t, data, size);
	}
	t->sent_at = clock_ms();
	atomic_fetch_add(&t->sends, 1);
	pthread_mutex_unlock(&t->out_lock);
	end_wait(t);
	return error;
}

void transport_tick(struct transport *t)
{
	ssize_t n;

	if (pthread_mutex_trylock(&t->out_lock) != 0)
		return;
	if (t->owed == 0) {
		n = send(t->fd, tick, TICK_SIZE, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n > 0)
			t->owed = TICK_SIZE - (size_t)n;
		atomic_fetch_add(&t->sends, 1);
	}
	pthread_mutex_unlock(&t->out_lock);
}

void transport_shutdown(struct transport *t)
{
	atomic_store(&t->stopped, true);
	shutdown(t->fd, SHUT_RDWR);
}

/* --- ei's callbacks ----------------------------------------------------- */

/*
 * ei_accept() takes a connection from the listening socket; ours are taken
 * before, so that each handshake can run in a thread of its own. What this
 * thread has to offer waits here until ei asks for it.
 */
static _Thread_local struct transport *offered;

static int callback_socket(void **context, void *setup_context)
{
	struct transport *listener = setup_context;

	listener->fd =
		socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (listener->fd < 0)
		return errno;
	*context = listener;
	return 0;
}

static int callback_listen(void *context, void *address, int *size, int backlog)
{
	struct transport *listener = context;
	socklen_t length = (socklen_t)*size;
	int on = 1;

	if (setsockopt(listener->fd, SOL_SOCKET, SO_REUSEADDR, &on,
		       sizeof(on)) < 0 ||
	    bind(listener->fd, address, length) < 0 ||
	    listen(listener->fd, backlog) < 0 ||
	    getsockname(listener->fd, address, &length) < 0)
		return errno;
	*size = (int)length;
	return 0;
}

static int callback_accept(void **context, void *address, int *size,
			   unsigned timeout)
{
	socklen_t length = (socklen_t)*size;

	(void)timeout;
	if (!offered)
		return EINVAL;
	if (getpeername(offered->fd, address, &length) < 0)
		return errno;
	*size = (int)length;
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
	return ENOTSUP; /* we are called, and call nobody */
}

/* The owner of a transport closes it, not ei. */
static int callback_close(void *context)
{
	(void)context;
	return 0;
}

static int fail(struct transport *t, int error)
{
	t->error = error;
	return error;
}

/* Waits until the socket is ready or the handshake's time is over. */
static int await(struct transport *t, short events)
{
	struct pollfd ready = { .fd = t->fd, .events = events };
	int64_t left;
	int n;

	do {
		left = t->deadline - clock_ms();
		if (left <= 0)
			return fail(t, ETIMEDOUT);
		n = poll(&ready, 1, (int)left);
	} while (n == 0 || (n < 0 && errno == EINTR));
	return n < 0 ? fail(t, errno) : 0;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the type is ei's */
static int callback_write(void *context, const char *octets, ssize_t *size,
			  unsigned timeout)
{
	struct transport *t = context;
	char packet[512]; /* ei's longest: its 'N' packet with 255 of name */
	int error;

	(void)timeout;
	if (*size < 0 || (size_t)*size > sizeof(packet))
		return fail(t, EMSGSIZE);
	memcpy(packet, octets, (size_t)*size);
	if (*size >= FLAGS_OFFSET + 8 && packet[HANDSHAKE_HEADER_SIZE] == 'N')
		put_be64(packet + FLAGS_OFFSET,
			 get_be(packet + FLAGS_OFFSET, 8) | ADDED_FLAGS);
	error = await(t, POLLOUT);
	if (error)
		return error;
	error = send_all(t, packet, (size_t)*size);
	t->writes++;
	return error ? fail(t, -error) : 0;
}

/* Notes what the peer's name packet says of it, as it comes by. */
static void note(struct transport *t, const char *octets, size_t size)
{
	size_t room = sizeof(t->head) - t->head_size;

	if (room == 0)
		return;
	if (size > room)
		size = room;
	memcpy(t->head + t->head_size, octets, size);
	t->head_size += size;
	if (t->head_size < sizeof(t->head))
		return;
	t->peer_flags = get_be(t->head + FLAGS_OFFSET, 8);
	t->peer_creation = (uint32_t)get_be(t->head + CREATION_OFFSET, 4);
}

static int callback_read(void *context, char *octets, ssize_t *size,
			 unsigned timeout)
{
	struct transport *t = context;
	ssize_t n;
	int error;

	(void)timeout;
	if (transport_available(t) == 0) {
		error = await(t, POLLIN);
		if (error)
			return error;
		n = transport_receive(t, BUFFER_SIZE);
		if (n <= 0)
			return fail(t, n < 0 ? (int)-n : ECONNRESET);
	}
	if ((size_t)*size > transport_available(t))
		*size = (ssize_t)transport_available(t);
	memcpy(octets, transport_data(t), (size_t)*size);
	note(t, octets, (size_t)*size);
	transport_consume(t, (size_t)*size);
	return 0;
}

static int callback_header_size(void *context, int *size)
{
	(void)context;
	*size = HANDSHAKE_HEADER_SIZE;
	return 0;
}

static int callback_fd(void *context, int *fd)
{
	struct transport *t = context;

	*fd = t->fd;
	return 0;
}

ei_socket_callbacks transport_callbacks = {
	/* ours keep time themselves: ei's own way is select(2), which writes
	 * past its set for descriptors from 1,024 on */
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

static void bound_waits(int fd, unsigned ticktime)
{
	struct timeval send_limit = { .tv_sec = ticktime };
	struct timeval receive_limit = {
		.tv_sec = ticktime / 4,
		.tv_usec = 250000L * (ticktime % 4),
	};

	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &send_limit,
		   sizeof(send_limit));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &receive_limit,
		   sizeof(receive_limit));
}

bool transport_accept(struct transport *t, ei_cnode *node, int listener,
		      int timeout_ms, ErlConnect *peer)
{
	int fd;

	memset(peer, 0, sizeof(*peer));
	t->deadline = clock_ms() + timeout_ms;
	/* so that a write of the handshake cannot outlast it by much */
	bound_waits(t->fd, (unsigned)timeout_ms / 1000 + 1);
	offered = t;
	fd = ei_accept_tmo(node, listener, peer, (unsigned)timeout_ms);
	offered = NULL;
	if (fd < 0)
		return false;
	ei_close_connection(fd); /* ei forgets it; the descriptor stays ours */
	bound_waits(t->fd, t->ticktime);
	t->sent_at = clock_ms();
	return true;
}

const char *transport_refusal(const struct transport *t)
{
	if (t->error == ETIMEDOUT)
		return "it took too long over the handshake";
	if (t->error == ECONNRESET)
		return "it hung up in the handshake";
	if (t->error)
		return strerror(t->error);
	if (t->writes == 0)
		return "it is no Erlang node of OTP 25 or later";
	return "it has another cookie";
}
