/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Serving a peer: one system call receives what is there, every whole packet is
 * served, and another system call sends all answers.
 */
#include "serve/connection_internal.h"

#include <errno.h>

#include "base/clock.h"
#include "base/log.h"

#define FLUSH_SIZE                                                             \
	((size_t)256 * 1024) /* answers are sent once they are that large */
#define KEPT_OUT_SIZE BUDGET_FREE      /* a larger output buffer is freed */
#define RESERVE_SIZE (BUDGET_FREE / 2) /* for one more ordinary answer */
#define BEGINNING_SIZE 32768 /* of a long request: says what to answer whom */
#define QUIETS_MAX 4         /* quarters of a tick time without data */
#define TICK_ANSWER_MS 200   /* after a send, a tick needs no answer */

/* --- Packets ------------------------------------------------------------ */

/*
 * A node that sends ticks expects data in return; but two nodes must not answer
 * each other's ticks for ever. So a tick is answered unless something was just
 * sent.
 */
static void serve_tick(struct connection *c)
{
	static const char tick[CONTROL_LENGTH_SIZE];

	if (c->out.pos == 0 &&
	    clock_ms() - c->transport.sent_at > TICK_ANSWER_MS)
		term_write_raw(&c->out, tick, sizeof(tick));
}

static int serve_packet(struct connection *c, const char *packet, size_t size)
{
	struct control_message message;
	size_t begin = c->out.pos;
	int error = control_parse(packet, size, true, &message);

	if (error == 0)
		error = session_serve(&c->session, &message, &c->out);
	if (error < 0) /* drop the partial answer, keep those before it */
		term_writer_rewind(&c->out, begin);
	return error;
}

/* Answers a request by its beginning, and arranges to skip the rest. */
static int refuse_packet(struct connection *c, size_t size,
			 const struct raised *raised)
{
	size_t available =
		transport_available(&c->transport) - CONTROL_LENGTH_SIZE;
	size_t beginning = size < BEGINNING_SIZE ? size : BEGINNING_SIZE;
	struct control_message message;
	size_t out = c->out.pos;
	int error;

	if (available < beginning)
		return -EAGAIN;
	if (available > size)
		available = size;
	error = control_parse(transport_data(&c->transport) +
				      CONTROL_LENGTH_SIZE,
			      beginning, false, &message);
	if (error == 0)
		error = session_refuse(&c->session, &message, raised, &c->out);
	if (error < 0) {
		term_writer_rewind(&c->out, out);
		return error == -ENOMEM ? error : -EMSGSIZE;
	}
	transport_consume(&c->transport, CONTROL_LENGTH_SIZE + available);
	c->skip = size - available;
	return 0;
}

static int refuse_too_long(struct connection *c, size_t size)
{
	static const struct raised too_big = { .reason = RAISED_TOO_BIG };
	static struct log_limit limit = LOG_LIMIT_OF("refused", "max_message");
	int error = refuse_packet(c, size, &too_big);

	if (error == 0)
		log_limited(&limit, LOG_WARNING,
			    "refused a request from %s: it has %zu bytes, "
			    "more than --max-message %zu",
			    c->peer.name, size, c->service->common.max_message);
	return error;
}

static uint32_t next_length(const struct connection *c)
{
	const unsigned char *data =
		(const unsigned char *)transport_data(&c->transport);

	return (uint32_t)data[0] << 24 | (uint32_t)data[1] << 16 |
	       (uint32_t)data[2] << 8 | data[3];
}

/* There is no memory for the rest of the packet. */
static int refuse_for_memory(struct connection *c)
{
	static const struct raised no_memory = { .reason = RAISED_ERRNO,
						 .error = ENOMEM };
	static struct log_limit limit = LOG_LIMIT_OF("refused", "max_memory");
	size_t size = next_length(c);

	if (c->account.refused > 0)
		log_limited(&limit, LOG_WARNING,
			    "refused a request from %s: it has %zu bytes, "
			    "more than are left of --max-memory %zu",
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

/* Serves one packet. -EAGAIN: it is not complete yet. */
static int serve_next(struct connection *c)
{
	size_t available, size;
	int error = 0;

	skip(c);
	available = transport_available(&c->transport);
	if (available < CONTROL_LENGTH_SIZE)
		return -EAGAIN;
	size = next_length(c);
	if (size > c->service->common.max_message)
		return refuse_too_long(c, size);
	if (available < CONTROL_LENGTH_SIZE + size)
		return -EAGAIN;
	transport_has_come(&c->transport, CONTROL_LENGTH_SIZE + size);
	if (size == 0)
		serve_tick(c);
	else
		error = serve_packet(
			c, transport_data(&c->transport) + CONTROL_LENGTH_SIZE,
			size);
	transport_consume(&c->transport, CONTROL_LENGTH_SIZE + size);
	return error;
}

/* --- Input and output --------------------------------------------------- */

int connection_flush(struct connection *c)
{
	int error = 0;

	if (c->out.pos > 0)
		error = transport_send(&c->transport, c->out.buf, c->out.pos);
	if (error == 0)
		stats_add(&c->stats.bytes_out, c->out.pos);
	term_writer_rewind(&c->out, 0);
	if (c->out.capacity > KEPT_OUT_SIZE)
		term_writer_fini(&c->out);
	return error;
}

/*
 * Whether an ordinary answer fits behind those that wait. If the budget does
 * not allow that, they must be sent first.
 */
static bool reserve_answer(struct connection *c)
{
	size_t pos = c->out.pos;

	if (pos <= RESERVE_SIZE || term_write_reserve(&c->out, RESERVE_SIZE))
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
 * Serves all packets received. A request that was performed is answered, even
 * if the connection then ends; once the peer is gone, no further one is begun.
 */
static int serve(struct connection *c)
{
	int error, flush_error = 0;

	do {
		error = serve_next(c);
		if (is_stopped(c))
			return -ECONNRESET;
		if (error < 0 || c->out.pos >= FLUSH_SIZE || !reserve_answer(c))
			flush_error = connection_flush(c);
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

/* Requests that these bytes complete count as having arrived now. */
static void note_arrival(struct connection *c, size_t bytes)
{
	c->session.arrived = clock_ns();
	stats_add(&c->stats.bytes_in, bytes);
}

static int receive(struct connection *c)
{
	ssize_t n = transport_receive(&c->transport,
				      CONTROL_LENGTH_SIZE +
					      c->service->common.max_message);

	if (n == -EAGAIN)
		return tick_or_give_up(c);
	if (n == -ENOSPC)
		return refuse_for_memory(c);
	if (n <= 0)
		return n < 0 ? (int)n : -ECONNRESET;
	c->quiets = 0;
	note_arrival(c, (size_t)n);
	return 0;
}

int connection_serve(struct connection *c)
{
	int error;

	/* data may have come right behind the handshake */
	note_arrival(c, transport_available(&c->transport));
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
