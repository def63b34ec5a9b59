/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DIST_H
#define DIST_H

#include "term/term.h"

#define DIST_LENGTH_SIZE 4 /* of the length before each packet */

/*
 * Capabilities of a node, as they stand in the 'N' packet of the handshake:
 * those that libei has no name for in its public headers.
 */
#define DIST_FLAG_DIST_MONITOR_NAME ((uint64_t)1 << 5)
#define DIST_FLAG_EXIT_PAYLOAD ((uint64_t)1 << 22)
#define DIST_FLAG_SPAWN ((uint64_t)1 << 32)
#define DIST_FLAG_NAME_ME ((uint64_t)1 << 33)
#define DIST_FLAG_ALIAS ((uint64_t)1 << 35)

/* Control messages. The _TT forms come out of dist_parse() as the plain one. */
enum dist_op {
	DIST_LINK = 1,
	DIST_SEND = 2,
	DIST_EXIT = 3,
	DIST_UNLINK = 4,
	DIST_REG_SEND = 6,
	DIST_GROUP_LEADER = 7,
	DIST_EXIT2 = 8,
	DIST_MONITOR_P = 19,
	DIST_DEMONITOR_P = 20,
	DIST_MONITOR_P_EXIT = 21,
	DIST_PAYLOAD_EXIT = 24,
	DIST_PAYLOAD_EXIT2 = 26,
	DIST_PAYLOAD_MONITOR_P_EXIT = 28,
	DIST_SPAWN_REQUEST = 29,
	DIST_SPAWN_REPLY = 31,
	DIST_ALIAS_SEND = 33,
	DIST_UNLINK_ID = 35,
	DIST_UNLINK_ID_ACK = 36,
};

/* The flags of a SPAWN_REPLY. */
enum dist_spawn_flag {
	DIST_SPAWN_LINK = 1,
	DIST_SPAWN_MONITOR = 2,
};

/* What a packet says; terms that its kind does not have are of size 0. */
struct dist_message {
	enum dist_op op;
	struct term from; /* a pid */
	struct term to;   /* a pid, or the name of a process */
	struct term id;   /* reference of a monitor or a spawn, or unlink id */
	struct term mfa;  /* SPAWN_REQUEST: {Module, Function, Arity} */
	struct term options; /* SPAWN_REQUEST */
	struct term payload; /* what is left of the packet, not checked yet */
};

/*
 * Takes apart the packet that follows a length. The terms point into it.
 * -EBADMSG where it is no packet that a peer may send us. With whole false,
 * the packet goes on after size bytes: then all of the control message must
 * be there.
 */
int dist_parse(const char *packet, size_t size, bool whole,
	       struct dist_message *message);

/*
 * Writing. A begin function opens a packet whose last term is still to come:
 * the payload, or the reason in an exit without one. It returns the place of
 * the packet, for dist_end() to close it. The others write whole packets.
 */
size_t dist_begin_monitor_exit_payload(struct term_writer *w, struct term pid,
				       struct term to, struct term id);
size_t dist_begin_monitor_exit(struct term_writer *w, struct term item,
			       struct term to, struct term id);
size_t dist_begin_exit(struct term_writer *w, struct term from, struct term to);
size_t dist_begin_send(struct term_writer *w, struct term to);
size_t dist_begin_alias_send(struct term_writer *w, struct term from,
			     struct term alias);
void dist_end(struct term_writer *w, size_t at);

void dist_write_spawn_reply(struct term_writer *w, struct term id,
			    struct term to, unsigned flags, struct term pid);
/* The same where nothing was spawned, with why as an atom. */
void dist_write_spawn_refusal(struct term_writer *w, struct term id,
			      struct term to, const char *why);
void dist_write_unlink_ack(struct term_writer *w, struct term id,
			   struct term from, struct term to);
/* A process there is watched under id, or no longer. */
void dist_write_monitor(struct term_writer *w, struct term from, struct term to,
			const erlang_ref *id);
void dist_write_demonitor(struct term_writer *w, struct term from,
			  struct term to, const erlang_ref *id);
/* What was monitored or linked to is not there. */
void dist_write_monitor_noproc(struct term_writer *w, struct term item,
			       struct term to, struct term id);
void dist_write_link_noproc(struct term_writer *w, struct term from,
			    struct term to);

#endif
