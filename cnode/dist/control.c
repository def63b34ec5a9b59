/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets of the Erlang distribution protocol, as sent after a handshake that
 * negotiated neither atom cache nor fragments:
 *
 *	Length:32 $p 131 Control [131 Payload]
 *
 * Pure functions on bytes; knows nothing of sockets or requests.
 */
#include "dist/control.h"

#include <errno.h>
#include <string.h>

#include "term/term_bytes.h"

#define PASS_THROUGH 'p'
#define VERSION 131

/* Of each op: the arity of its tuple, and the position of each element. */
struct layout {
	uint8_t plain; /* the op of the same message without a trace token */
	uint8_t arity; /* 0: no such op */
	uint8_t from, to, id, mfa, options, reason;
	bool payload;
};

static const struct layout layouts[] = {
	[CONTROL_LINK] = { CONTROL_LINK, 3, .from = 1, .to = 2 },
	[CONTROL_SEND] = { CONTROL_SEND, 3, .to = 2, .payload = true },
	[12] = { CONTROL_SEND, 4, .to = 2, .payload = true },
	[CONTROL_EXIT] = { CONTROL_EXIT, 4, .from = 1, .to = 2, .reason = 3 },
	[13] = { CONTROL_EXIT, 5, .from = 1, .to = 2, .reason = 4 },
	[CONTROL_UNLINK] = { CONTROL_UNLINK, 3, .from = 1, .to = 2 },
	[CONTROL_REG_SEND] = { CONTROL_REG_SEND, 4, .from = 1, .to = 3,
			       .payload = true },
	[16] = { CONTROL_REG_SEND, 5, .from = 1, .to = 3, .payload = true },
	[CONTROL_GROUP_LEADER] = { CONTROL_GROUP_LEADER, 3, .from = 1,
				   .to = 2 },
	[CONTROL_EXIT2] = { CONTROL_EXIT2, 4, .from = 1, .to = 2, .reason = 3 },
	[18] = { CONTROL_EXIT2, 5, .from = 1, .to = 2, .reason = 4 },
	[CONTROL_MONITOR_P] = { CONTROL_MONITOR_P, 4, .from = 1, .to = 2,
				.id = 3 },
	[CONTROL_DEMONITOR_P] = { CONTROL_DEMONITOR_P, 4, .from = 1, .to = 2,
				  .id = 3 },
	[CONTROL_MONITOR_P_EXIT] = { CONTROL_MONITOR_P_EXIT, 5, .from = 1,
				     .to = 2, .id = 3 },
	[CONTROL_PAYLOAD_EXIT] = { CONTROL_PAYLOAD_EXIT, 3, .from = 1, .to = 2,
				   .payload = true },
	[25] = { CONTROL_PAYLOAD_EXIT, 4, .from = 1, .to = 2, .payload = true },
	[CONTROL_PAYLOAD_EXIT2] = { CONTROL_PAYLOAD_EXIT2, 3, .from = 1,
				    .to = 2, .payload = true },
	[27] = { CONTROL_PAYLOAD_EXIT2, 4, .from = 1, .to = 2,
		 .payload = true },
	[CONTROL_PAYLOAD_MONITOR_P_EXIT] = { CONTROL_PAYLOAD_MONITOR_P_EXIT, 4,
					     .from = 1, .to = 2, .id = 3,
					     .payload = true },
	[CONTROL_SPAWN_REQUEST] = { CONTROL_SPAWN_REQUEST, 6, .id = 1,
				    .from = 2, .mfa = 4, .options = 5,
				    .payload = true },
	[30] = { CONTROL_SPAWN_REQUEST, 7, .id = 1, .from = 2, .mfa = 4,
		 .options = 5, .payload = true },
	[CONTROL_SPAWN_REPLY] = { CONTROL_SPAWN_REPLY, 5, .id = 1, .to = 2 },
	[32] = { CONTROL_SPAWN_REPLY, 6, .id = 1, .to = 2 },
	[CONTROL_ALIAS_SEND] = { CONTROL_ALIAS_SEND, 3, .from = 1, .to = 2,
				 .payload = true },
	[34] = { CONTROL_ALIAS_SEND, 4, .from = 1, .to = 2, .payload = true },
	[CONTROL_UNLINK_ID] = { CONTROL_UNLINK_ID, 4, .id = 1, .from = 2,
				.to = 3 },
	[CONTROL_UNLINK_ID_ACK] = { CONTROL_UNLINK_ID_ACK, 4, .id = 1,
				    .from = 2, .to = 3 },
};

#define LAYOUTS (sizeof(layouts) / sizeof(layouts[0]))
#define MAX_ARITY 7

/* Position 0 is the op, so in a layout it means that there is no such term. */
static struct term pick(const struct term *elements, uint8_t position)
{
	return position ? elements[position] : (struct term){ .at = NULL };
}

/*
 * Reads the elements of a control message, checking each, and moves *pos behind
 * it. NULL: it is malformed.
 */
static const struct layout *take_control(const char **pos, const char *end,
					 struct term elements[MAX_ARITY])
{
	struct term rest = { *pos, (size_t)(end - *pos) };
	struct term_items items;
	uint32_t op, arity;

	if (!term_tuple(rest, &items) || items.left == 0 ||
	    items.left > MAX_ARITY)
		return NULL;
	items.unchecked = true;
	arity = items.left;
	if (term_next_some(&items, elements, arity) != arity)
		return NULL;
	*pos = items.pos;
	if (!term_read_uint32(elements[0], &op) || op >= LAYOUTS ||
	    layouts[op].arity != arity)
		return NULL;
	return &layouts[op];
}

static int parse_control(const char **pos, const char *end,
			 struct control_message *m,
			 const struct layout **layout)
{
	struct term elements[MAX_ARITY];
	const struct layout *l = take_control(pos, end, elements);

	if (!l)
		return -EBADMSG;
	*m = (struct control_message){
		.op = l->plain,
		.from = pick(elements, l->from),
		.to = pick(elements, l->to),
		.id = pick(elements, l->id),
		.mfa = pick(elements, l->mfa),
		.options = pick(elements, l->options),
		.reason = pick(elements, l->reason),
	};
	*layout = l;
	return 0;
}

static bool take_version(const char **pos, const char *end)
{
	return *pos < end && (unsigned char)*(*pos)++ == VERSION;
}

int control_parse(const char *packet, size_t size, bool whole,
		  struct control_message *message)
{
	const char *pos = packet, *end = packet + size;
	const struct layout *layout;

	if (size == 0 || *pos++ != PASS_THROUGH || !take_version(&pos, end) ||
	    parse_control(&pos, end, message, &layout) < 0)
		return -EBADMSG;
	if (!layout->payload)
		return whole && pos == end ? 0 : -EBADMSG;
	if (!take_version(&pos, end))
		return -EBADMSG;
	message->payload = (struct term){ pos, (size_t)(end - pos) };
	return 0;
}

/* --- Writing ------------------------------------------------------------ */

/* Opens a packet and its control message; arity counts the op. */
static size_t begin(struct term_writer *w, enum control_op op, uint8_t arity)
{
	const char header[] = {
		0,
		0,
		0,
		0,
		PASS_THROUGH,
		(char)VERSION,
		ERL_SMALL_TUPLE_EXT,
		(char)arity,
		ERL_SMALL_INTEGER_EXT,
		(char)op,
	};
	size_t at = w->pos;

	term_write_raw(w, header, sizeof(header));
	return at;
}

void control_end(struct term_writer *w, size_t at)
{
	if (!w->failed)
		put32(w->buf + at,
		      (uint32_t)(w->pos - at - CONTROL_LENGTH_SIZE));
}

void control_write_spawn_reply(struct term_writer *w, struct term id,
			       struct term to, unsigned flags, struct term pid)
{
	size_t at = begin(w, CONTROL_SPAWN_REPLY, 5);

	term_write_term(w, id);
	term_write_term(w, to);
	term_write_uint(w, flags);
	term_write_term(w, pid);
	control_end(w, at);
}

void control_write_spawn_refusal(struct term_writer *w, struct term id,
				 struct term to, const char *why)
{
	size_t at = begin(w, CONTROL_SPAWN_REPLY, 5);

	term_write_term(w, id);
	term_write_term(w, to);
	term_write_uint(w, 0);
	term_write_atom(w, why);
	control_end(w, at);
}

size_t control_begin_monitor_exit_payload(struct term_writer *w,
					  struct term pid, struct term to,
					  struct term id)
{
	size_t at = begin(w, CONTROL_PAYLOAD_MONITOR_P_EXIT, 4);

	term_write_term(w, pid);
	term_write_term(w, to);
	term_write_term(w, id);
	term_write_version(w);
	return at;
}

size_t control_begin_monitor_exit(struct term_writer *w, struct term item,
				  struct term to, struct term id)
{
	size_t at = begin(w, CONTROL_MONITOR_P_EXIT, 5);

	term_write_term(w, item);
	term_write_term(w, to);
	term_write_term(w, id);
	return at;
}

size_t control_begin_exit(struct term_writer *w, struct term from,
			  struct term to)
{
	size_t at = begin(w, CONTROL_EXIT, 4);

	term_write_term(w, from);
	term_write_term(w, to);
	return at;
}

size_t control_begin_send(struct term_writer *w, struct term to)
{
	size_t at = begin(w, CONTROL_SEND, 3);

	term_write_atom(w, "");
	term_write_term(w, to);
	term_write_version(w);
	return at;
}

size_t control_begin_alias_send(struct term_writer *w, struct term from,
				struct term alias)
{
	size_t at = begin(w, CONTROL_ALIAS_SEND, 3);

	term_write_term(w, from);
	term_write_term(w, alias);
	term_write_version(w);
	return at;
}

void control_write_unlink_ack(struct term_writer *w, struct term id,
			      struct term from, struct term to)
{
	size_t at = begin(w, CONTROL_UNLINK_ID_ACK, 4);

	term_write_term(w, id);
	term_write_term(w, from);
	term_write_term(w, to);
	control_end(w, at);
}

static void write_monitor(struct term_writer *w, enum control_op op,
			  struct term from, struct term to,
			  const erlang_ref *id)
{
	size_t at = begin(w, op, 4);

	term_write_term(w, from);
	term_write_term(w, to);
	term_write_ref(w, id);
	control_end(w, at);
}

void control_write_monitor(struct term_writer *w, struct term from,
			   struct term to, const erlang_ref *id)
{
	write_monitor(w, CONTROL_MONITOR_P, from, to, id);
}

void control_write_demonitor(struct term_writer *w, struct term from,
			     struct term to, const erlang_ref *id)
{
	write_monitor(w, CONTROL_DEMONITOR_P, from, to, id);
}

void control_write_monitor_noproc(struct term_writer *w, struct term item,
				  struct term to, struct term id)
{
	size_t at = control_begin_monitor_exit(w, item, to, id);

	term_write_atom(w, "noproc");
	control_end(w, at);
}

void control_write_link_noproc(struct term_writer *w, struct term from,
			       struct term to)
{
	size_t at = control_begin_exit(w, from, to);

	term_write_atom(w, "noproc");
	control_end(w, at);
}
