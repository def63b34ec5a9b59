/* SPDX-License-Identifier: Apache-2.0 */
#include "client.h"

#include <ei.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dist/control.h"
#include "dist/dflags.h"
#include "fuzz.h"
#include "fuzz_node.h"
#include "world.h"

#define MAX_IN (32 << 20)
#define FLAGS_OFFSET 3

/* --- The handshake: ei's, over a socket pair ---------------------------- */

int __wrap_getpeername(int fd, struct sockaddr *address, socklen_t *size);

/* ei wants an Internet address, which a socket pair does not have. */
int __wrap_getpeername(int fd, struct sockaddr *address, socklen_t *size)
{
	struct sockaddr_in loopback = {
		.sin_family = AF_INET,
		.sin_addr = { htonl(INADDR_LOOPBACK) },
	};

	(void)fd;
	if (*size > sizeof(loopback))
		*size = sizeof(loopback);
	memcpy(address, &loopback, *size);
	return 0;
}

static int callback_connect(void *context, void *address, int size,
			    unsigned timeout)
{
	(void)context;
	(void)address;
	(void)size;
	(void)timeout;
	return 0;
}

static int callback_socket(void **context, void *setup)
{
	*context = setup;
	return 0;
}

static int callback_close(void *context)
{
	(void)context;
	return 0;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the type is ei's */
static int callback_write(void *context, const char *bytes, ssize_t *size,
			  unsigned timeout)
{
	const struct client *c = context;
	uint64_t flags = DFLAG_SPAWN | DFLAG_DIST_MONITOR_NAME;
	char packet[512];

	(void)timeout;
	REQUIRE((size_t)*size <= sizeof(packet));
	memcpy(packet, bytes, (size_t)*size);
	if (!c->less_capable)
		flags |= DFLAG_ALIAS | DFLAG_EXIT_PAYLOAD;
	if (*size >= FLAGS_OFFSET + 8 && packet[2] == 'N')
		for (int i = 0; i < 8; i++)
			packet[FLAGS_OFFSET + i] |=
				(char)(flags >> 8 * (7 - i));
	return TEMP_FAILURE_RETRY(send(c->fd, packet, (size_t)*size,
				       MSG_NOSIGNAL)) == *size
		       ? 0
		       : EIO;
}

static int callback_read(void *context, char *bytes, ssize_t *size,
			 unsigned timeout)
{
	const struct client *c = context;
	ssize_t n = TEMP_FAILURE_RETRY(recv(c->fd, bytes, (size_t)*size, 0));

	(void)timeout;
	if (n <= 0)
		return EIO;
	*size = n;
	return 0;
}

static int callback_header_size(void *context, int *size)
{
	(void)context;
	*size = 2;
	return 0;
}

static int callback_fd(void *context, int *fd)
{
	const struct client *c = context;

	*fd = c->fd;
	return 0;
}

static ei_socket_callbacks callbacks = {
	.flags = EI_SCLBK_FLG_FULL_IMPL,
	.socket = callback_socket,
	.close = callback_close,
	.connect = callback_connect,
	.write = callback_write,
	.read = callback_read,
	.handshake_packet_header_size = callback_header_size,
	.get_fd = callback_fd,
};

void client_open(struct client *c)
{
	struct in_addr loopback = { htonl(INADDR_LOOPBACK) };
	char name[MAXNODELEN + 1];
	ei_cnode self;
	int fds[2], fd;

	REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
	c->fd = fds[0];
	c->framed = true;
	c->ended = false;
	c->in = NULL;
	c->in_size = 0;
	fuzz_node_connect(fds[1]);
	snprintf(name, sizeof(name), "%s@localhost", c->alive);
	REQUIRE(ei_connect_xinit_ussi(&self, "localhost", c->alive, name, NULL,
				      WORLD_COOKIE, c->creation, &callbacks,
				      sizeof(callbacks), c) == 0);
	fd = ei_xconnect_host_port_tmo(&self, &loopback, 1,
				       FUZZ_NODE_PATIENCE_MS);
	REQUIRE(fd == c->fd);
	ei_close_connection(fd);
}

/* --- Packets ------------------------------------------------------------ */

/* {Ref, yes}, where Ref has the number of our last ping. */
static bool is_answer(const struct client *c, const char *packet, size_t size)
{
	struct control_message message = { 0 };
	struct term answer[2];
	erlang_ref ref;

	return size > 0 && control_parse(packet, size, true, &message) == 0 &&
	       message.op == CONTROL_SEND &&
	       term_tuple_of(message.payload, answer, 2) &&
	       term_is_atom(answer[1], "yes") &&
	       term_read_ref(answer[0], &ref) && ref.n[0] == c->pings;
}

/* Reads the received bytes; takes out every whole packet. */
static void take(struct client *c, const char *data, size_t size)
{
	size_t whole = 0;
	uint32_t length;

	c->in = realloc(c->in, c->in_size + size);
	REQUIRE(c->in);
	memcpy(c->in + c->in_size, data, size);
	c->in_size += size;
	while (c->in_size - whole >= CONTROL_LENGTH_SIZE) {
		memcpy(&length, c->in + whole, sizeof(length));
		length = ntohl(length);
		if (c->in_size - whole - CONTROL_LENGTH_SIZE < length)
			break;
		if (is_answer(c, c->in + whole + CONTROL_LENGTH_SIZE, length))
			c->answered = true;
		whole += CONTROL_LENGTH_SIZE + length;
	}
	REQUIRE(c->in_size - whole < MAX_IN);
	world_check_packets(c->in, whole);
	memmove(c->in, c->in + whole, c->in_size - whole);
	c->in_size -= whole;
}

/* False if there is nothing. */
static bool read_once(struct client *c)
{
	static char room[1 << 17];
	ssize_t n;

	if (c->ended)
		return false;
	n = recv(c->fd, room, sizeof(room), MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return false;
	c->ended = n <= 0;
	if (n > 0)
		take(c, room, (size_t)n);
	return n > 0;
}

void client_read(struct client *c)
{
	while (read_once(c))
		;
}

static void await(struct client *c, short events)
{
	struct pollfd ready = { .fd = c->fd, .events = events };

	/* libFuzzer checks the time by a signal now and then */
	REQUIRE(TEMP_FAILURE_RETRY(poll(&ready, 1, FUZZ_NODE_PATIENCE_MS)) ==
		1);
}

static void read_to_end(struct client *c)
{
	while (!c->ended) {
		await(c, POLLIN);
		client_read(c);
	}
}

void client_send(struct client *c, const void *data, size_t size)
{
	const char *bytes = data;
	ssize_t n;

	while (size > 0 && !c->ended) {
		n = send(c->fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN) {
			await(c, POLLIN | POLLOUT);
			client_read(c);
		} else if (n < 0) {
			read_to_end(c);
		} else {
			bytes += n;
			size -= (size_t)n;
		}
	}
}

static void write_pid(struct term_writer *w, const erlang_pid *pid)
{
	char bytes[MAXATOMLEN_UTF8 + 16];
	int size = 0;

	REQUIRE(ei_encode_pid(bytes, &size, pid) == 0);
	term_write_raw(w, bytes, (size_t)size);
}

/* REG_SEND of {'$gen_call', {Pid, Ref}, {is_auth, Node}} to net_kernel. */
static void write_ping(struct client *c, struct term_writer *w)
{
	erlang_pid pid = { .num = 1, .creation = c->creation };
	erlang_ref ref = { .len = 3, .creation = c->creation };
	size_t begin = w->pos;

	term_write_raw(w, "\0\0\0\0p", CONTROL_LENGTH_SIZE + 1);
	term_write_version(w);
	ref.n[0] = ++c->pings;
	snprintf(pid.node, sizeof(pid.node), "%s@localhost", c->alive);
	memcpy(ref.node, pid.node, sizeof(ref.node));
	term_write_tuple(w, 4);
	term_write_uint(w, CONTROL_REG_SEND);
	write_pid(w, &pid);
	term_write_atom(w, "");
	term_write_atom(w, "net_kernel");
	term_write_version(w);
	term_write_tuple(w, 3);
	term_write_atom(w, "$gen_call");
	term_write_tuple(w, 2);
	write_pid(w, &pid);
	term_write_ref(w, &ref);
	term_write_tuple(w, 2);
	term_write_atom(w, "is_auth");
	term_write_atom(w, "x@localhost");
	control_end(w, begin);
}

bool client_ping(struct client *c)
{
	struct term_writer w;

	if (!c->framed || c->ended)
		return false;
	term_writer_init(&w);
	write_ping(c, &w);
	c->answered = false;
	client_send(c, w.buf, w.pos);
	term_writer_fini(&w);
	while (!c->answered && !c->ended) {
		await(c, POLLIN);
		client_read(c);
	}
	return c->answered;
}

void client_close(struct client *c)
{
	shutdown(c->fd, SHUT_WR);
	read_to_end(c);
	REQUIRE(!c->framed || c->in_size == 0);
	close(c->fd);
	free(c->in);
}
