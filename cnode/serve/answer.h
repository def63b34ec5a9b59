/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ANSWER_H
#define ANSWER_H

#include "serve/request.h"
#include "serve/session.h"

/*
 * Calls the function that a request asks for and writes the packets that answer
 * it; if raised is set, that exception is the answer. Afterwards the request
 * names the function that was called, which erlang:apply may have changed.
 * w->failed: out of memory.
 */
void serve_request(struct session *session, struct request *request,
		   struct term_writer *w, const struct raised *raised);

/* Opens a message to the sender of a request; its term and control_end()
 * follow. */
size_t answer_begin_message(struct session *session,
			    const struct request *request,
			    struct term_writer *w);

#endif
