/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CALL_H
#define CALL_H

#include <errno.h>
#include <limits.h>

#include "functions.h"

/* A bucket must fit: many entries of the largest value that a hash has do. */
#define CALL_MAX_BATCH ((size_t)256 * 1024 * 1024)

/* The reference has the node's name, and the rest is numbers and a type. */
#define CALL_MAX_HANDLE_SIZE (MAXATOMLEN_UTF8 + 128)

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
bool call_raise_done(struct call *call, int error, uint64_t done);
/* enomem, for what the account did not get. */
bool call_raise_no_memory(struct call *call);

/*
 * For each turn of a loop that may be long: whether anybody waits for its end.
 * False, with ecanceled raised, when the connection has gone; what was done
 * until then is done.
 */
static inline bool call_goes_on(struct call *call)
{
	return !atomic_load_explicit(call->context->stopped,
				     memory_order_relaxed) ||
	       call_raise_errno(call, -ECANCELED);
}

/* At least size octets of memory: NULL and {too_big, Max} or enomem raised. */
char *call_room(struct call *call, struct buffer *buffer, size_t size);
/* The same of the batch buffer, which is no part of a message: 256 MiB. */
char *call_batch_room(struct call *call, size_t size);

/*
 * Room for size octets more of the answer, before anything is done that it is
 * to tell: {too_big, Max} or enomem raised else.
 */
bool call_check_answer(struct call *call, size_t size);

/*
 * The map of a live handle, or of a locator where the function takes one, and
 * room to write it back as it came: sets call->map.
 */
bool call_read_map(struct call *call, struct term t);

/*
 * An atom, a binary or a list of characters, the last as UTF-8. False for what
 * is none of them, is too long for text, or has a NUL in it.
 */
bool call_read_text(struct term t, char *text, size_t size);
bool call_is_characters(struct term t);

/* An absolute path: a binary, or a list of characters. badarg else. */
bool call_read_path(struct call *call, struct term t, char path[PATH_MAX]);

/* The same as a value, or as a template: sets call->value_map. */
bool call_read_value_map(struct call *call, struct term t);

/* By its name, or its number where libbpf knows none. */
void call_write_type(struct call *call, uint32_t type);

bool call_is_handle(struct term t);
bool call_read_handle_ref(struct term t, erlang_ref *ref);
void call_write_handle(struct call *call, const struct map *map,
		       const erlang_ref *ref);
/* {error, Posix}; always true, as a result. */
bool call_write_error(struct call *call, int error);

#endif
