/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets of the Erlang distribution protocol, as they travel after the
 * handshake between nodes that negotiated neither atom cache nor fragments:
 *
 *	Length:32 $p 131 Control [131 Payload]
 *
 * Pure functions on bytes; knows nothing of sockets nor of what is asked.
 */
#include "dist.h"

#include <errno.h>
#include <string.h>

#define PASS_THROUGH 'p'
#define VERSION 131

/* The control message Op: its arity, and where in its tuple what stands. */
struct layout {
	uint8_t op;
	uint8_t plain; /* the same message without a trace token */
	uint8_t arity;
	uint8_t from, to, id, mfa, options;
	bool payload;
};

static const struct layout layouts[] = {
	{ DIST_LINK, DIST_LINK, 3, .from = 1, .to = 2 },
	{ DIST_SEND, DIST_SEND, 3, .to = 2, .payload = true },
	{ 12, DIST_SEND, 4, .to = 2, .payload = true },
	{ DIST_EXIT, DIST_EXIT, 4, .from = 1, .to = 2 },
	{ 13, DIST_EXIT, 5, .from = 1, .to = 2 },
	{ DIST_UNLINK, DIST_UNLINK, 3, .from = 1, .to = 2 },
	{ DIST_REG_SEND, DIST_REG_SEND, 4, .from = 1, .to = 3,
	  .payload = true },
	{ 16, DIST_REG_SEND, 5, .from = 1, .to = 3, .payload = true },
	{ DIST_GROUP_LEADER, DIST_GROUP_LEADER, 3, .from = 1, .to = 2 },
	{ DIST_EXIT2, DIST_EXIT2, 4, .from = 1, .to = 2 },
	{ 18, DIST_EXIT2, 5, .from = 1, .to = 2 },
	{ DIST_MONITOR_P, DIST_MONITOR_P, 4, .from = 1, .to = 2, .id = 3 },
	{ DIST_DEMONITOR_P, DIST_DEMONITOR_P, 4, .from = 1, .to = 2, .id = 3 },
	{ DIST_MONITOR_P_EXIT, DIST_MONITOR_P_EXIT, 5, .from = 1, .to = 2,
	  .id = 3 },
	{ DIST_PAYLOAD_EXIT, DIST_PAYLOAD_EXIT, 3, .from = 1, .to = 2,
	  .payload = true },
	{ 25, DIST_PAYLOAD_EXIT, 4, .from = 1, .to = 2, .payload = true },
	{ DIST_PAYLOAD_EXIT2, DIST_PAYLOAD_EXIT2, 3, .from = 1, .to = 2,
	  .payload = true },
	{ 27, DIST_PAYLOAD_EXIT2, 4, .from = 1, .to = 2, .payload = true },
	{ DIST_PAYLOAD_MONITOR_P_EXIT, DIST_PAYLOAD_MONITOR_P_EXIT, 4,
	  .from = 1, .to = 2, .id = 3, .payload = true },
	{ DIST_SPAWN_REQUEST, DIST_SPAWN_REQUEST, 6, .id = 1, .from = 2,
	  .mfa = 4, .options = 5, .payload = true },
	{ 30, DIST_SPAWN_REQUEST, 7, .id = 1, .from = 2, .mfa = 4, .options = 5,
	  .payload = true },
	{ DIST_SPAWN_REPLY, DIST_SPAWN_REPLY, 5, .id = 1, .to = 2 },
	{ 32, DIST_SPAWN_REPLY, 6, .id = 1, .to = 2 },
	{ DIST_ALIAS_SEND, DIST_ALIAS_SEND, 3, .from = 1, .to = 2,
	  .payload = true },
	{ 34, DIST_ALIAS_SEND, 4, .from = 1, .to = 2, .payload = true },
	{ DIST_UNLINK_ID, DIST_UNLINK_ID, 4, .id = 1, .from = 2, .to = 3 },
	{ DIST_UNLINK_ID_ACK, DIST_UNLINK_ID_ACK, 4, .id = 1, .from = 2,
	  .to = 3 },
};

#define MAX_ARITY 7

static const struct layout *find_layout(uint32_t op, uint32_t arity)
{
	for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++)
		if (layouts[i].op == op && layouts[i].arity == arity)
			return &layouts[i];
	return NULL;
}

/* Position 0 is the op itself: there it means that there is no such term. */
static struct term pick(const struct term *elements, uint8_t position)
{
	return position ? elements[position] : (struct term){ .at = NULL };
}

static int parse_control(struct term control, struct dist_message *m,
			 const struct layout **layout)
{
	struct term elements[MAX_ARITY];
	struct term_items items;
	uint32_t op, arity;

	if (!term_tuple(control, &items) || items.left > MAX_ARITY)
		return -EBADMSG;
	arity = items.left;
	for (uint32_t i = 0; i < arity; i++)
		if (!term_next(&items, &elements[i]))
			return -EBADMSG;
	if (arity == 0 || !term_read_uint32(elements[0], &op))
		return -EBADMSG;
	*layout = find_layout(op, arity);
	if (!*layout)
		return -EBADMSG;
	*m = (struct dist_message){
		.op = (*layout)->plain,
		.from = pick(elements, (*layout)->from),
		.to = pick(elements, (*layout)->to),
		.id = pick(elements, (*layout)->id),
		.mfa = pick(elements, (*layout)->mfa),
		.options = pick(elements, (*layout)->options),
	};
	return 0;
}

/* Steps over a version and the term behind it. */
static int take_term(const char **pos, const char *end, struct term *t)
{
	ssize_t size;

	if (*pos == end || (unsigned char)**pos != VERSION)
		return -EBADMSG;
	size = term_check(*pos + 1, (size_t)(end - *pos) - 1);
	if (size < 0)
		return -EBADMSG;
	*t = (struct term){ .at = *pos + 1, .size = (size_t)size };
	*pos += 1 + size;
	return 0;
}

int dist_parse(const char *packet, size_t size, bool whole,
	       struct dist_message *message)
{
	const char *pos = packet, *end = packet + size;
	const struct layout *layout;
	struct term control;

	if (size == 0 || *pos++ != PASS_THROUGH ||
	    take_term(&pos, end, &control) < 0 ||
	    parse_control(control, message, &layout) < 0)
		return -EBADMSG;
	if (!layout->payload)
		return whole && pos == end ? 0 : -EBADMSG;
	if (whole)
		return take_term(&pos, end, &message->payload) == 0 &&
				       pos == end
			       ? 0
			       : -EBADMSG;
	if (pos == end || (unsigned char)*pos++ != VERSION)
		return -EBADMSG;
	message->payload = (struct term){ pos, (size_t)(end - pos) };
	return 0;
}

/* --- Writing ------------------------------------------------------------ */

size_t dist_begin(struct term_writer *w)
{
	static const char header[DIST_LENGTH_SIZE + 1] = { 0, 0, 0, 0,
							   PASS_THROUGH };
	size_t begin = w->pos;

	term_write_raw(w, header, sizeof(header));
	term_write_version(w);
	return begin;
}

void dist_end(struct term_writer *w, size_t begin)
{
	size_t size = w->pos - begin - DIST_LENGTH_SIZE;

	if (w->failed)
		return;
	for (int i = 0; i < DIST_LENGTH_SIZE; i++)
		w->buf[begin + i] =
			(char)(size >> (8 * (DIST_LENGTH_SIZE - 1 - i)));
}

void dist_write_spawn_reply(struct term_writer *w, struct term id,
			    struct term to, unsigned flags,
			    const erlang_pid *pid)
{
	term_write_tuple(w, 5);
	term_write_uint(w, DIST_SPAWN_REPLY);
	term_write_term(w, id);
	term_write_term(w, to);
	term_write_uint(w, flags);
	term_write_pid(w, pid);
}

void dist_write_monitor_exit_payload(struct term_writer *w,
				     const erlang_pid *pid, struct term to,
				     struct term id)
{
	term_write_tuple(w, 4);
	term_write_uint(w, DIST_PAYLOAD_MONITOR_P_EXIT);
	term_write_pid(w, pid);
	term_write_term(w, to);
	term_write_term(w, id);
	term_write_version(w);
}

void dist_write_monitor_exit(struct term_writer *w, const erlang_pid *pid,
			     struct term to, struct term id)
{
	term_write_tuple(w, 5);
	term_write_uint(w, DIST_MONITOR_P_EXIT);
	term_write_pid(w, pid);
	term_write_term(w, to);
	term_write_term(w, id);
}

void dist_write_exit(struct term_writer *w, const erlang_pid *from,
		     struct term to)
{
	term_write_tuple(w, 4);
	term_write_uint(w, DIST_EXIT);
	term_write_pid(w, from);
	term_write_term(w, to);
}

void dist_write_send(struct term_writer *w, struct term to)
{
	term_write_tuple(w, 3);
	term_write_uint(w, DIST_SEND);
	term_write_atom(w, "");
	term_write_term(w, to);
	term_write_version(w);
}

void dist_write_alias_send(struct term_writer *w, const erlang_pid *from,
			   struct term alias)
{
	term_write_tuple(w, 3);
	term_write_uint(w, DIST_ALIAS_SEND);
	term_write_pid(w, from);
	term_write_term(w, alias);
	term_write_version(w);
}

void dist_write_unlink_ack(struct term_writer *w, struct term id,
			   struct term from, struct term to)
{
	size_t begin = dist_begin(w);

	term_write_tuple(w, 4);
	term_write_uint(w, DIST_UNLINK_ID_ACK);
	term_write_term(w, id);
	term_write_term(w, from);
	term_write_term(w, to);
	dist_end(w, begin);
}

static void write_monitor(struct term_writer *w, enum dist_op op,
			  const erlang_pid *from, struct term to,
			  const erlang_ref *id)
{
	size_t begin = dist_begin(w);

	term_write_tuple(w, 4);
	term_write_uint(w, op);
	term_write_pid(w, from);
	term_write_term(w, to);
	term_write_ref(w, id);
	dist_end(w, begin);
}

void dist_write_monitor(struct term_writer *w, const erlang_pid *from,
			struct term to, const erlang_ref *id)
{
	write_monitor(w, DIST_MONITOR_P, from, to, id);
}

void dist_write_demonitor(struct term_writer *w, const erlang_pid *from,
			  struct term to, const erlang_ref *id)
{
	write_monitor(w, DIST_DEMONITOR_P, from, to, id);
}

void dist_write_monitor_noproc(struct term_writer *w, struct term item,
			       struct term to, struct term id)
{
	size_t begin = dist_begin(w);

	term_write_tuple(w, 5);
	term_write_uint(w, DIST_MONITOR_P_EXIT);
	term_write_term(w, item);
	term_write_term(w, to);
	term_write_term(w, id);
	term_write_atom(w, "noproc");
	dist_end(w, begin);
}

void dist_write_link_noproc(struct term_writer *w, struct term from,
			    struct term to)
{
	size_t begin = dist_begin(w);

	term_write_tuple(w, 4);
	term_write_uint(w, DIST_EXIT);
	term_write_term(w, from);
	term_write_term(w, to);
	term_write_atom(w, "noproc");
	dist_end(w, begin);
}
