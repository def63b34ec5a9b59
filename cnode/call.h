/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CALL_H
#define CALL_H

#include "functions.h"

/*
 * What handlers are made of: arguments to octets and back, and exceptions.
 * A function of type bool returns false when it has set call->raised; its
 * caller then returns false as well.
 */

/* Sets the exception; always false. */
bool call_raise(struct call *call, enum raised_reason reason);
bool call_raise_term(struct call *call, enum raised_reason reason,
		     struct term term);
bool call_raise_errno(struct call *call, int error); /* -errno */

/* At least size octets of memory: NULL and {too_big, Max} or enomem raised. */
char *call_room(struct call *call, struct buffer *buffer, size_t size);

/* A live handle: sets call->map. */
bool call_read_map(struct call *call, struct term t);

/* A key or a value of call->map, borrowed from the packet or a buffer. */
bool call_read_key(struct call *call, struct term t, const char **key);
bool call_read_value(struct call *call, struct term t, const char **value);

/*
 * {too_big, Max} unless an entry of call->map and its handle, as it came, are
 * sure to fit into the answer. To be asked before anything is taken out.
 */
bool call_check_answer(struct call *call, struct term handle);

/* Where to have an entry read to; then it is part of the answer. */
char *call_value_room(struct call *call);
void call_write_value(struct call *call, const char *octets);

bool call_is_handle(struct term t);
void call_write_handle(struct call *call, const struct map *map,
		       const erlang_ref *ref);
/* {error, Posix}; always true, as a result. */
bool call_write_error(struct call *call, int error);

/* The handlers; each stands in the file that its comment in the table names. */
bool map_functions_new4(struct call *call);
bool map_functions_new5(struct call *call);
bool map_functions_close(struct call *call);
bool map_functions_fd(struct call *call);
bool map_functions_get2(struct call *call);
bool map_functions_get3(struct call *call);
bool map_functions_put(struct call *call);
bool map_functions_update(struct call *call);
bool map_functions_remove(struct call *call);
bool map_functions_take(struct call *call);
bool iterator_functions_iterator(struct call *call);
bool iterator_functions_next(struct call *call);

#endif
