/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LOADER_ANSWER_H
#define LOADER_ANSWER_H

#include "loader/loader.h"

/*
 * Adds a part of the answer from the child's socket, without waiting. -EAGAIN:
 * none is there; -EPIPE: there will be no more; -EPROTO: it is no part of this
 * answer, or the answer is too long; -ENOMEM, -EMFILE.
 */
int loader_answer_receive(struct loader_answer *answer, int socket,
			  uint64_t serial);

#endif
