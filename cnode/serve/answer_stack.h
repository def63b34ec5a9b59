/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ANSWER_STACK_H
#define ANSWER_STACK_H

#include "serve/request.h"

/* [{Module, Function, Arguments | Arity, []}], or another frame of apply's. */
void answer_stack_write(struct term_writer *w, const struct request *request,
			enum raised_reason reason);

/* That of a cast, which raises the exception once more. */
void answer_stack_write_cast(struct term_writer *w);

#endif
