/* SPDX-License-Identifier: Apache-2.0 */
#ifndef APPLY_H
#define APPLY_H

#include "serve/request.h"

/*
 * Of a request for a function that is not served: true when it asks to apply
 * another, which is in it from now on. Else raised is what Erlang raises, undef
 * mostly, and request->frame where.
 */
bool apply_next(struct request *request, struct raised *raised);

#endif
