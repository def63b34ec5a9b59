/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SESSION_H
#define SESSION_H

#include "dist/control.h"
#include "dist/pids.h"
#include "functions/functions.h"

/* The state of one connected node that its requests use. */
struct session {
	const char *name; /* of this node */
	struct pids pids;
	const char *peer;
	size_t peer_size; /* of that name */
	uint64_t peer_flags;
	int64_t arrived; /* when the requests being served did, by clock_ns() */
	struct call_context context;
};

/*
 * Writes the first messages to a node that has connected: monitors of the
 * processes that its older handles end with.
 */
void session_resume(struct session *session, struct term_writer *out);

/*
 * Performs the request in a message, if there is one, and writes the packets
 * that answer it. 0, or -errno if the connection must end: -EBADMSG: the
 * message is malformed; -ENOMEM.
 */
int session_serve(struct session *session,
		  const struct control_message *message,
		  struct term_writer *out);

/*
 * Answers a request by an exception when only its beginning has been received.
 * -EMSGSIZE: the beginning does not say how to answer.
 */
int session_refuse(struct session *session,
		   const struct control_message *message,
		   const struct raised *raised, struct term_writer *out);

#endif
