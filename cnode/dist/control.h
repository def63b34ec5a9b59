/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTROL_H
#define CONTROL_H

#include "term/term.h"

#define CONTROL_LENGTH_SIZE 4 /* bytes of the length before each packet */

/* Control messages; control_parse() drops the trace token of a _TT form. */
enum control_op {
	CONTROL_LINK = 1,
	CONTROL_SEND = 2,
	CONTROL_EXIT = 3,
	CONTROL_UNLINK = 4,
	CONTROL_REG_SEND = 6,
	CONTROL_GROUP_LEADER = 7,
	CONTROL_EXIT2 = 8,
	CONTROL_MONITOR_P = 19,
	CONTROL_DEMONITOR_P = 20,
	CONTROL_MONITOR_P_EXIT = 21,
	CONTROL_PAYLOAD_EXIT = 24,
	CONTROL_PAYLOAD_EXIT2 = 26,
	CONTROL_PAYLOAD_MONITOR_P_EXIT = 28,
	CONTROL_SPAWN_REQUEST = 29,
	CONTROL_SPAWN_REPLY = 31,
	CONTROL_ALIAS_SEND = 33,
	CONTROL_UNLINK_ID = 35,
	CONTROL_UNLINK_ID_ACK = 36,
};

/* The flags of a SPAWN_REPLY. */
enum control_spawn_flag {
	CONTROL_SPAWN_LINK = 1,
	CONTROL_SPAWN_MONITOR = 2,
};

/* A parsed packet. Terms that a kind of message does not have are of size 0. */
struct control_message {
	enum control_op op;
	struct term from; /* a pid */
	struct term to;   /* a pid, or the name of a process */
	struct term id;   /* reference of a monitor or a spawn, or unlink id */
	struct term mfa;  /* SPAWN_REQUEST: {Module, Function, Arity} */
	struct term options; /* SPAWN_REQUEST */
	struct term reason;  /* of an exit, unless it is the payload */
	struct term payload; /* the rest of the packet, unchecked */
};

/*
 * Parses the packet that follows a length; the terms point into it. -EBADMSG:
 * it is not a packet that a peer may send. If whole is false, only the first
 * size bytes of the packet are there, which must include the control message.
 */
int control_parse(const char *packet, size_t size, bool whole,
		  struct control_message *message);

/*
 * Writing. A begin function opens a packet; the caller then writes its last
 * term, which is the payload, or the reason of an exit without a payload. It
 * returns the position to pass to control_end(). The others write whole
 * packets.
 */
size_t control_begin_monitor_exit_payload(struct term_writer *w,
					  struct term pid, struct term to,
					  struct term id);
size_t control_begin_monitor_exit(struct term_writer *w, struct term item,
				  struct term to, struct term id);
size_t control_begin_exit(struct term_writer *w, struct term from,
			  struct term to);
size_t control_begin_send(struct term_writer *w, struct term to);
size_t control_begin_alias_send(struct term_writer *w, struct term from,
				struct term alias);
void control_end(struct term_writer *w, size_t at);

void control_write_spawn_reply(struct term_writer *w, struct term id,
			       struct term to, unsigned flags, struct term pid);
/* Answers that nothing was spawned, with why as an atom. */
void control_write_spawn_refusal(struct term_writer *w, struct term id,
				 struct term to, const char *why);
void control_write_unlink_ack(struct term_writer *w, struct term id,
			      struct term from, struct term to);
/* Starts or stops monitoring a process of the peer, by the reference id. */
void control_write_monitor(struct term_writer *w, struct term from,
			   struct term to, const erlang_ref *id);
void control_write_demonitor(struct term_writer *w, struct term from,
			     struct term to, const erlang_ref *id);
/* Answers that the monitored or linked process does not exist. */
void control_write_monitor_noproc(struct term_writer *w, struct term item,
				  struct term to, struct term id);
void control_write_link_noproc(struct term_writer *w, struct term from,
			       struct term to);

#endif
