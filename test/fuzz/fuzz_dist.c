/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes packets: for any bytes, the result of control_parse() lies within them
 * and was checked, except the payload; and a packet written from it is a valid
 * packet.
 */
#include <stdbool.h>

#include "dist/control.h"
#include "fuzz.h"

struct packet {
	const char *at;
	size_t size;
};

/* Absent, or a whole term within the packet; nothing after it is read. */
static void check_term(struct packet p, struct term t)
{
	char *copy;

	if (t.size == 0)
		return;
	REQUIRE(t.at > p.at && t.at + t.size <= p.at + p.size);
	copy = fuzz_copy(t.at, t.size);
	REQUIRE(term_check(copy, t.size) == (ssize_t)t.size);
	free(copy);
}

static void check_control(struct packet p, const struct control_message *m)
{
	check_term(p, m->from);
	check_term(p, m->to);
	check_term(p, m->id);
	check_term(p, m->mfa);
	check_term(p, m->options);
}

static bool same(struct term a, struct term b)
{
	return a.size == b.size &&
	       (a.size == 0 || memcmp(a.at, b.at, a.size) == 0);
}

/* w holds one packet, with this op and, if it has one, this id. */
static void check_written(struct term_writer *w, enum control_op op,
			  struct term id)
{
	struct control_message m;
	char *packet;
	size_t size = w->pos - CONTROL_LENGTH_SIZE;

	REQUIRE(!w->failed && w->pos > CONTROL_LENGTH_SIZE);
	packet = fuzz_copy(w->buf + CONTROL_LENGTH_SIZE, size);
	REQUIRE(control_parse(packet, size, true, &m) == 0 && m.op == op);
	REQUIRE(m.id.size == 0 || same(m.id, id));
	check_control((struct packet){ packet, size }, &m);
	check_term((struct packet){ packet, size }, m.payload);
	free(packet);
	term_writer_rewind(w, 0);
}

static const char pid[] = "X"
			  "w\16ebpf@localhost"
			  "\0\0\0\1"
			  "\0\0\0\0"
			  "\0\0\60\71";
static const struct term ours = { pid, sizeof(pid) - 1 };

static void write_exits(struct term_writer *w, const struct control_message *m)
{
	size_t begin;

	begin = control_begin_monitor_exit_payload(w, ours, m->from, m->id);
	term_write_atom(w, "normal");
	control_end(w, begin);
	check_written(w, CONTROL_PAYLOAD_MONITOR_P_EXIT, m->id);
	begin = control_begin_monitor_exit(w, ours, m->from, m->id);
	term_write_atom(w, "normal");
	control_end(w, begin);
	check_written(w, CONTROL_MONITOR_P_EXIT, m->id);
	control_write_spawn_reply(w, m->id, m->from, CONTROL_SPAWN_MONITOR,
				  ours);
	check_written(w, CONTROL_SPAWN_REPLY, m->id);
	control_write_unlink_ack(w, m->id, m->to.size ? m->to : m->from,
				 m->from);
	check_written(w, CONTROL_UNLINK_ID_ACK, m->id);
	if (m->to.size == 0)
		return;
	control_write_monitor_noproc(w, m->to, m->from, m->id);
	check_written(w, CONTROL_MONITOR_P_EXIT, m->id);
}

static void write_sends(struct term_writer *w, const struct control_message *m)
{
	size_t begin = control_begin_send(w, m->from);

	term_write_term(w, m->from);
	control_end(w, begin);
	check_written(w, CONTROL_SEND, m->from);
	begin = control_begin_alias_send(w, ours, m->from);
	term_write_term(w, m->from);
	control_end(w, begin);
	check_written(w, CONTROL_ALIAS_SEND, m->from);
	begin = control_begin_exit(w, ours, m->from);
	term_write_atom(w, "normal");
	control_end(w, begin);
	check_written(w, CONTROL_EXIT, m->from);
	if (m->to.size == 0)
		return;
	control_write_link_noproc(w, m->to, m->from);
	check_written(w, CONTROL_EXIT, m->from);
}

static void write_answers(const struct control_message *m)
{
	struct term_writer w;

	term_writer_init(&w);
	if (m->from.size > 0)
		write_sends(&w, m);
	if (m->from.size > 0 && m->id.size > 0)
		write_exits(&w, m);
	term_writer_fini(&w);
}

/*
 * A packet that is cut anywhere after its control message is parsed to the same
 * message.
 */
static void cut_short(struct packet p, const struct control_message *whole)
{
	size_t least = (size_t)(whole->payload.at - p.at);
	size_t size = least + whole->payload.size / 2;
	char *copy = fuzz_copy(p.at, size);
	struct control_message m = { 0 };
	struct term_items items;
	struct term part;

	REQUIRE(control_parse(copy, size, false, &m) == 0);
	REQUIRE(m.op == whole->op && same(m.from, whole->from) &&
		same(m.to, whole->to) && same(m.id, whole->id));
	REQUIRE(m.payload.at == copy + least &&
		m.payload.at + m.payload.size == copy + size);
	if (term_tuple(m.payload, &items) || term_list(m.payload, &items)) {
		items.unchecked = true;
		while (term_next(&items, &part))
			if (!items.bytes)
				check_term((struct packet){ copy, size }, part);
	}
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct control_message message = { 0 }, beginning = { 0 };
	struct packet p = { fuzz_copy(data, size), size };

	if (control_parse(p.at, p.size, true, &message) == 0) {
		check_control(p, &message);
		REQUIRE(message.payload.size == 0 ||
			message.payload.at + message.payload.size ==
				p.at + p.size);
		write_answers(&message);
		if (message.payload.size > 0)
			cut_short(p, &message);
	}
	if (control_parse(p.at, p.size, false, &beginning) == 0)
		check_control(p, &beginning);
	free((char *)p.at);
	return 0;
}
