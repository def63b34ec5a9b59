/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CALL_H
#define CALL_H

#include <errno.h>
#include <limits.h>

#include "base/stats.h"
#include "call/permissions.h"
#include "call/raise.h"
#include "handles/handles.h"
#include "host/root.h"
#include "limits/pin_limit.h"
#include "term/term.h"

#define CALL_MAX_ARITY 5

/* A bucket must fit: many entries of the largest value that a hash has do. */
#define CALL_MAX_BATCH ((size_t)256 * 1024 * 1024)

/* The reference has the node's name, and the rest is numbers and a type. */
#define CALL_MAX_HANDLE_SIZE (MAXATOMLEN_UTF8 + 128)

struct account;
struct map_memory;

/* Memory that is kept from call to call. */
struct buffer {
	char *bytes;
	size_t capacity;
};

/* Options that callers are told of; the others stand where they act. */
struct call_options {
	bool open_by_id;
	uint32_t max_maps;
	uint32_t max_maps_per_node;
	uint32_t grace; /* s */
};

/* What the functions work with, whoever calls. */
struct call_common {
	struct handles *handles;
	struct map_memory *map_memory;
	struct stats_all *stats;
	struct root pin_root;
	struct root file_root;
	struct pin_limit pin_limit;
	size_t max_message; /* also the most that a buffer grows to */
	struct call_options options;
};

/* And on behalf of one connected node. */
struct call_context {
	struct call_common *common;
	struct handles_owner *owner;
	const char *peer;          /* its name */
	const struct call *served; /* what it asks for just now, or NULL */
	enum permission permission;
	const atomic_bool *stopped; /* nobody waits for an answer any more */
	struct stats *stats;
	struct account *account; /* of the buffers */
	struct buffer key;
	struct buffer value;
	struct buffer cursor;
	struct buffer batch;
};

/* How a map that stands there as a locator is opened, for that call. */
enum located {
	LOCATED_NEVER, /* a handle has to stand there */
	LOCATED_TO_READ,
	LOCATED_TO_WRITE, /* and to read */
};

/* One call: what came, where its result goes, and what went wrong. */
struct call {
	struct call_context *context;
	struct term_writer *out;
	const char *function; /* its name, of the table */
	uint32_t arity;
	enum located located;
	struct term args[CALL_MAX_ARITY];
	struct term caller; /* the pid that asks */
	struct raised raised;
	int returned; /* as {error, Reason}: how that counts; 0: it was not */
	/* what functions_call() drops in the end */
	struct map *map;       /* of the handle or locator among args */
	struct map *value_map; /* of one that is a value, or a template */
	int key_fd;            /* what a key or value names; -1: nothing */
	int value_fd;
	/* what the node of the caller is to be told afterwards */
	bool watch; /* the end of a handle is that of the caller, */
	struct handles_process unwatch; /* or no longer that of this one */
	erlang_ref ref;                 /* that handle's */
};

void call_context_fini(struct call_context *context);

/* Gives back what a call holds, and buffers that are large. */
void call_end(struct call *call);

/*
 * What handlers are made of: arguments to bytes and back, and exceptions.
 * A function of type bool returns false when it has set call->raised; its
 * caller then returns false as well.
 */

/*
 * For each turn of a loop that may be long: whether anybody waits for its end.
 * False, with ecanceled raised, when the connection has gone; what was done
 * until then is done.
 */
static inline bool call_goes_on(struct call *call)
{
	return !atomic_load_explicit(call->context->stopped,
				     memory_order_relaxed) ||
	       raise_errno(call, -ECANCELED);
}

/* At least size bytes of memory: NULL and {too_big, Max} or enomem raised. */
char *call_buffer(struct call *call, struct buffer *buffer, size_t size);
/* The same of the batch buffer, which is no part of a message: 256 MiB. */
char *call_batch_buffer(struct call *call, size_t size);

/*
 * Room for size bytes more of the answer, before anything is done that it is
 * to tell: {too_big, Max} or enomem raised else.
 */
bool call_check_answer(struct call *call, size_t size);

/*
 * The map of a live handle, or of a locator where the function takes one, and
 * room to write it back as it came: sets call->map.
 */
bool call_read_map(struct call *call, struct term t);

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
