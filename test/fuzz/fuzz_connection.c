/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes whole connections: real threads, over socket pairs, after a real
 * handshake. An input is a play: the acts of a peer, one after the other.
 * Whatever it does, its connection ends when it disconnects, without a leak; it
 * receives whole packets only; it gets its answers as long as it framed its
 * packets correctly and our node has not disconnected; and another peer always
 * gets its own.
 *
 *	Play = Act ...        Act = Kind:8 Size:16 Bytes
 */
#include <stdbool.h>

#include "client.h"
#include "fuzz.h"
#include "fuzz_node.h"
#include "world.h"

#define MAX_ACTS 64
#define MAX_BYTES 16384 /* in an act */
#define ACT_HEAD 3

enum kind {
	WHOLE, /* a packet after its length; most acts are */
	WHOLE_TOO,
	WHOLE_AS_WELL,
	WAITED_FOR, /* and then the answer to a ping */
	DRIBBLED,   /* in two parts */
	TOO_LONG,   /* its start, and then zeros beyond max_message */
	CUT_OFF,    /* half a packet, then a new connection */
	MISCOUNTED, /* a length of more than follows */
	AS_IT_IS,   /* bytes without a length */
	TICK,
	COME_BACK,    /* a new connection, while the old one is open */
	BORN_AGAIN,   /* with another creation */
	LESS_CAPABLE, /* likewise, with fewer capabilities */
	KINDS,
};

struct act {
	enum kind kind;
	const uint8_t *bytes;
	size_t size;
};

/* The next act of a play; the rest is one, however short. */
static bool next_act(const uint8_t **data, size_t *size, struct act *act)
{
	size_t most;

	if (*size < ACT_HEAD)
		return false;
	act->kind = (*data)[0] % KINDS;
	act->size = (size_t)(*data)[1] << 8 | (*data)[2];
	act->bytes = *data + ACT_HEAD;
	most = *size - ACT_HEAD < MAX_BYTES ? *size - ACT_HEAD : MAX_BYTES;
	if (act->size > most)
		act->size = most;
	*data += ACT_HEAD + act->size;
	*size -= ACT_HEAD + act->size;
	return true;
}

/* --- Acting ------------------------------------------------------------- */

static void send_packet(struct client *c, const char *packet, size_t size,
			size_t length)
{
	unsigned char head[4] = { (unsigned char)(length >> 24),
				  (unsigned char)(length >> 16),
				  (unsigned char)(length >> 8),
				  (unsigned char)length };

	client_send(c, head, sizeof(head));
	client_send(c, packet, size);
}

static void dribble(struct client *c, const char *packet, size_t size)
{
	send_packet(c, packet, size / 2, size);
	client_read(c);
	client_send(c, packet + size / 2, size - size / 2);
}

static void send_too_long(struct client *c, const char *packet, size_t size)
{
	static const char noughts[FUZZ_NODE_MAX_MESSAGE + 1];

	send_packet(c, packet, size, sizeof(noughts) + size);
	client_send(c, noughts, sizeof(noughts));
}

static void come_back(struct client *c, enum kind kind)
{
	struct client old = *c;

	old.framed = false; /* it may be cut off within an answer */
	if (kind != COME_BACK)
		c->creation++;
	c->less_capable = kind == LESS_CAPABLE;
	client_open(c);
	client_close(&old);
}

static void play_act(struct client *c, const struct act *act, const char *o)
{
	switch (act->kind) {
	case WAITED_FOR:
		send_packet(c, o, act->size, act->size);
		client_ping(c);
		break;
	case DRIBBLED:
		dribble(c, o, act->size);
		break;
	case TOO_LONG:
		send_too_long(c, o, act->size);
		break;
	case CUT_OFF:
		send_packet(c, o, act->size / 2, act->size + 1);
		client_close(c);
		client_open(c);
		break;
	case MISCOUNTED:
		c->framed = false;
		send_packet(c, o, act->size, 2 * act->size + 1);
		break;
	case AS_IT_IS:
		c->framed = false;
		client_send(c, o, act->size);
		break;
	case TICK:
		client_send(c, "\0\0\0", 4);
		break;
	case COME_BACK:
	case BORN_AGAIN:
	case LESS_CAPABLE:
		come_back(c, act->kind);
		break;
	default:
		send_packet(c, o, act->size, act->size);
		break;
	}
}

static struct client other = { .alive = "other", .creation = 99 };

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	world_init();
	fuzz_node_start();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct client peer = { .alive = "peer", .creation = 7 };
	struct act act;
	char *bytes;

	if (other.fd == 0)
		client_open(&other);
	fuzz_node_prepare();
	client_open(&peer);
	for (unsigned i = 0; i < MAX_ACTS && next_act(&data, &size, &act);
	     i++) {
		bytes = fuzz_copy(act.bytes, act.size);
		world_put_handles(fuzz_node_handles(), bytes, act.size);
		play_act(&peer, &act, bytes);
		free(bytes);
	}
	client_ping(&peer);
	client_close(&peer);
	REQUIRE(client_ping(&other));
	fuzz_node_check();
	return 0;
}

/* --- Mutating plays, by acts -------------------------------------------- */

struct play {
	struct act acts[MAX_ACTS];
	unsigned count;
};

static void read_play(struct play *play, const uint8_t *data, size_t size)
{
	play->count = 0;
	while (play->count < MAX_ACTS &&
	       next_act(&data, &size, &play->acts[play->count]))
		play->count++;
}

static size_t write_play(const struct play *play, uint8_t *data, size_t max)
{
	size_t size = 0;

	for (unsigned i = 0; i < play->count; i++) {
		const struct act *act = &play->acts[i];

		if (size + ACT_HEAD + act->size > max)
			break;
		data[size] = (uint8_t)act->kind;
		data[size + 1] = (uint8_t)(act->size >> 8);
		data[size + 2] = (uint8_t)act->size;
		memcpy(data + size + ACT_HEAD, act->bytes, act->size);
		size += ACT_HEAD + act->size;
	}
	return size;
}

static void mutate_bytes(struct act *act, uint8_t *room, size_t size)
{
	if (act->size > size)
		act->size = size;
	memcpy(room, act->bytes, act->size);
	act->size = LLVMFuzzerMutate(room, act->size, size);
	act->bytes = room;
}

static void mutate_play(struct play *play, unsigned seed, uint8_t *room,
			size_t size)
{
	unsigned i = seed / 8 % play->count, j = seed / 512 % play->count;
	struct act act = play->acts[i];

	switch (seed % 8) {
	case 0: /* change an act */
		play->acts[i].kind = seed / 4096 % KINDS;
		break;
	case 1: /* repeat one, at the end or in place of another */
		if (play->count < MAX_ACTS)
			j = play->count++;
		play->acts[j] = act;
		break;
	case 2: /* leave one out */
		play->acts[i] = play->acts[play->count - 1];
		play->count -= play->count > 1;
		break;
	case 3: /* swap two */
		play->acts[i] = play->acts[j];
		play->acts[j] = act;
		break;
	default:
		mutate_bytes(&play->acts[i], room, size);
	}
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
			       unsigned seed)
{
	static uint8_t copy[1 << 20], room[MAX_BYTES];
	struct play play;

	if (size > sizeof(copy))
		size = sizeof(copy);
	memcpy(copy, data, size);
	read_play(&play, copy, size);
	if (play.count == 0)
		return LLVMFuzzerMutate(data, size, max_size);
	mutate_play(&play, seed, room, sizeof(room));
	return write_play(&play, data, max_size);
}
