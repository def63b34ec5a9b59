/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets: whatever the bytes, what dist_parse() makes of them lies inside
 * them and was checked, but for the payload; and what is written with it is a
 * packet again.
 */
#include <stdbool.h>

#include "dist/dist.h"
#include "fuzz.h"

struct packet {
	const char *at;
	size_t size;
};

/* Absent, or a whole term inside the packet, apart from which none is read. */
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

static void check_control(struct packet p, const struct dist_message *m)
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

/* The one packet that w holds says op, of that id where it has one. */
static void check_written(struct term_writer *w, enum dist_op op,
			  struct term id)
{
	struct dist_message m;
	char *packet;
	size_t size = w->pos - DIST_LENGTH_SIZE;

	REQUIRE(!w->failed && w->pos > DIST_LENGTH_SIZE);
	packet = fuzz_copy(w->buf + DIST_LENGTH_SIZE, size);
	REQUIRE(dist_parse(packet, size, true, &m) == 0 && m.op == op);
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

static void write_exits(struct term_writer *w, const struct dist_message *m)
{
	size_t begin;

	begin = dist_begin_monitor_exit_payload(w, ours, m->from, m->id);
	term_write_atom(w, "normal");
	dist_end(w, begin);
	check_written(w, DIST_PAYLOAD_MONITOR_P_EXIT, m->id);
	begin = dist_begin_monitor_exit(w, ours, m->from, m->id);
	term_write_atom(w, "normal");
	dist_end(w, begin);
	check_written(w, DIST_MONITOR_P_EXIT, m->id);
	dist_write_spawn_reply(w, m->id, m->from, DIST_SPAWN_MONITOR, ours);
	check_written(w, DIST_SPAWN_REPLY, m->id);
	dist_write_unlink_ack(w, m->id, m->to.size ? m->to : m->from, m->from);
	check_written(w, DIST_UNLINK_ID_ACK, m->id);
	if (m->to.size == 0)
		return;
	dist_write_monitor_noproc(w, m->to, m->from, m->id);
	check_written(w, DIST_MONITOR_P_EXIT, m->id);
}

static void write_sends(struct term_writer *w, const struct dist_message *m)
{
	size_t begin = dist_begin_send(w, m->from);

	term_write_term(w, m->from);
	dist_end(w, begin);
	check_written(w, DIST_SEND, m->from);
	begin = dist_begin_alias_send(w, ours, m->from);
	term_write_term(w, m->from);
	dist_end(w, begin);
	check_written(w, DIST_ALIAS_SEND, m->from);
	begin = dist_begin_exit(w, ours, m->from);
	term_write_atom(w, "normal");
	dist_end(w, begin);
	check_written(w, DIST_EXIT, m->from);
	if (m->to.size == 0)
		return;
	dist_write_link_noproc(w, m->to, m->from);
	check_written(w, DIST_EXIT, m->from);
}

static void write_answers(const struct dist_message *m)
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
 * Of a packet that goes on behind its control message the beginning says the
 * same, wherever behind it is cut.
 */
static void cut_short(struct packet p, const struct dist_message *whole)
{
	size_t least = (size_t)(whole->payload.at - p.at);
	size_t size = least + whole->payload.size / 2;
	char *copy = fuzz_copy(p.at, size);
	struct dist_message m = { 0 };
	struct term_items items;
	struct term part;

	REQUIRE(dist_parse(copy, size, false, &m) == 0);
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
	struct dist_message message = { 0 }, beginning = { 0 };
	struct packet p = { fuzz_copy(data, size), size };

	if (dist_parse(p.at, p.size, true, &message) == 0) {
		check_control(p, &message);
		REQUIRE(message.payload.size == 0 ||
			message.payload.at + message.payload.size ==
				p.at + p.size);
		write_answers(&message);
		if (message.payload.size > 0)
			cut_short(p, &message);
	}
	if (dist_parse(p.at, p.size, false, &beginning) == 0)
		check_control(p, &beginning);
	free((char *)p.at);
	return 0;
}
