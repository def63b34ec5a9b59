/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ANSWER_H
#define ANSWER_H

#include "serve/request.h"
#include "serve/session.h"

/*
 * Calls what a request asks for and writes the packets that answer it; with
 * raised, that exception is the answer. The request is then that of what was
 * called, which erlang:apply can make another. w->failed: there was no memory.
 */
void answer_request(struct session *session, struct request *request,
		    struct term_writer *w, const struct raised *raised);

/* Opens a message to who sent one; its term and dist_end() follow. */
size_t answer_begin_message(struct session *session,
			    const struct request *request,
			    struct term_writer *w);

#endif
