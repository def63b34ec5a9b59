/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ANSWER_STACK_H
#define ANSWER_STACK_H

#include "serve/request.h"

/* [{Module, Function, Arguments | Arity, []}], or a frame of erlang:apply. */
void answer_stack_write(struct term_writer *w, const struct request *request,
			enum raised_reason reason);

/* The stack of erpc's cast, which raises the exception again. */
void answer_stack_write_cast(struct term_writer *w);

#endif
