/* SPDX-License-Identifier: Apache-2.0 */
#ifndef APPLY_H
#define APPLY_H

#include "serve/request.h"

/*
 * For a request whose function is not served. True: it applies another
 * function, which is now the request's. False: raised is what Erlang would
 * raise, usually undef, and request->frame is the frame it is raised in.
 */
bool apply_next(struct request *request, struct raised *raised);

#endif
