/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SESSION_H
#define SESSION_H

#include "dist/control.h"
#include "dist/pids.h"
#include "functions/functions.h"

/* One connected node, as the requests see it that come from there. */
struct session {
	const char *name; /* of this node */
	struct pids pids;
	const char *peer;
	size_t peer_size; /* of that name */
	uint64_t peer_flags;
	int64_t arrived; /* when the requests did that are served, in ns */
	struct call_context context;
};

/*
 * Writes what a node is to be told that has connected: its processes that
 * handles from before end with are watched again.
 */
void session_resume(struct session *session, struct term_writer *out);

/*
 * Does what a message asks for and writes the packets that answer it, if any.
 * 0, or -errno when the connection has to end: -EBADMSG when a message does
 * not say what its kind must, -ENOMEM.
 */
int session_serve(struct session *session,
		  const struct control_message *message,
		  struct term_writer *out);

/*
 * Answers a request of which only the beginning has come with what is raised.
 * -EMSGSIZE: it does not say whom to tell.
 */
int session_refuse(struct session *session,
		   const struct control_message *message,
		   const struct raised *raised, struct term_writer *out);

#endif
