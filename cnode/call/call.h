/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CALL_H
#define CALL_H

#include <errno.h>
#include <limits.h>

#include "base/stats.h"
#include "bpf/map.h"
#include "call/permissions.h"
#include "call/raise.h"
#include "events/events.h"
#include "handles/handles.h"
#include "host/root.h"
#include "limits/pin_limit.h"
#include "term/term.h"

#define CALL_MAX_ARITY 5

/* Must hold a whole bucket; holds many entries of a hash's largest value. */
#define CALL_MAX_BATCH ((size_t)256 * 1024 * 1024)

/* The reference contains the node name; the rest is numbers and a type. */
#define CALL_MAX_HANDLE_SIZE (MAXATOMLEN_UTF8 + 128)

struct account;
struct btf;
struct link;
struct loader;
struct map_memory;
struct program;

/* Memory kept between calls. */
struct buffer {
	char *bytes;
	size_t capacity;
};

/* Options that features/0 reports; the others live where they act. */
struct call_options {
	bool open_by_id;
	bool keep;
	bool tls;
	uint32_t max_maps;
	uint32_t max_maps_per_node;
	uint32_t grace; /* s */
	uint32_t max_programs;
	uint32_t max_programs_per_node;
	uint32_t max_subscriptions;
};

/* Shared by all calls. */
struct call_common {
	struct handles *handles;
	struct events *events;
	struct map_memory *map_memory;
	struct stats_all *stats;
	struct root pin_root;
	struct root file_root;
	struct root netns_root;
	int cgroups;            /* a descriptor; -1: there are none */
	int own_netns;          /* a descriptor; -1: without --programs */
	struct loader *loader;  /* NULL: without --programs */
	uint32_t program_words; /* set of program_words.h */
	struct btf *vmlinux;    /* only read; NULL: without --vmlinux-types */
	struct pin_limit pin_limit;
	size_t max_message; /* also the limit of a buffer */
	struct call_options options;
};

/* Shared by the calls of one connected node. */
struct call_context {
	struct call_common *common;
	struct handles_owner *owner;
	struct events_peer *events;
	const char *peer;          /* the name of that node */
	const struct call *served; /* the current call, or NULL */
	enum permission permission;
	const atomic_bool *stopped; /* the connection is gone */
	struct stats *stats;
	struct account *account; /* of the buffers */
	struct buffer key;
	struct buffer value;
	struct buffer cursor;
	struct buffer batch;
	struct buffer ranking;
	struct buffer path;     /* of an exception, which outlives the call */
	bool has_large_buffers; /* one grew beyond what is kept */
};

/* How a map named by a locator is opened for the call. */
enum located {
	LOCATED_NEVER, /* only a handle will do */
	LOCATED_TO_READ,
	LOCATED_TO_WRITE, /* and read */
};

/* One call: its arguments, its result, its exception. */
struct call {
	struct call_context *context;
	struct term_writer *out;
	const char *function; /* its name in the table */
	uint32_t arity;
	bool of_programs; /* it is one of ebpf_programs */
	enum located located;
	struct term args[CALL_MAX_ARITY];
	struct term caller; /* pid */
	struct raised raised;
	int returned; /* {error, Reason}: its index in stats; 0: none */
	/* released by call_end() */
	struct map *map;       /* by a handle or locator among args */
	struct map *value_map; /* a map that is a value, or a template */
	struct program *program;
	struct link *link;
	int key_fd; /* named by a key or value; -1: none */
	int value_fd;
	/* monitors to start or end once the call has returned */
	erlang_ref *watched; /* handles that end with the caller */
	size_t watched_count;
	struct handles_process unwatch; /* its handle ref is closed */
	struct term subscriber;         /* a pid that a subscription sends to */
	erlang_ref ref;
	struct events_made subscription;
};

void call_context_fini(struct call_context *context);

/* Releases what the call holds, and buffers that have grown large. */
void call_end(struct call *call);

/*
 * The building blocks of handlers: arguments to bytes and back, exceptions. A
 * bool function returns false after setting call->raised; its caller then
 * returns false too.
 */

/*
 * Call in each turn of a loop that may run long. Raises ecanceled when the
 * connection is gone; changes made by then stay.
 */
static inline bool call_goes_on(struct call *call)
{
	return !atomic_load_explicit(call->context->stopped,
				     memory_order_relaxed) ||
	       raise_errno(call, -ECANCELED);
}

/* At least size bytes, or NULL with {too_big, Max} or enomem raised. */
char *call_buffer(struct call *call, struct buffer *buffer, size_t size);
/* The batch buffer: its limit is 256 MiB, not --max-message. */
char *call_batch_buffer(struct call *call, size_t size);

/*
 * Reserves size more bytes of the answer, before the call changes anything that
 * the answer reports. Raises {too_big, Max} or enomem.
 */
bool call_check_answer(struct call *call, size_t size);

/*
 * Sets call->map from a live handle, or from a locator if the function takes
 * one, and reserves the bytes to return the term as it came.
 */
bool call_read_map(struct call *call, struct term t);

/* An absolute path; raises badarg otherwise. */
bool call_read_path(struct call *call, struct term t, char path[PATH_MAX]);

/* Sets call->value_map: a map that is a value, or a template. */
bool call_read_value_map(struct call *call, struct term t);

/*
 * Sets *map to one that a program is to have, from a handle or a locator. One
 * that may only be read is refused; name is what the program calls it, or NULL.
 */
bool call_read_program_map(struct call *call, struct term t, const char *name,
			   struct map **map);

/* The name of a map type, or its number if libbpf has no name for it. */
void call_write_type(struct call *call, uint32_t type);

/* node, process or permanent; raises badarg otherwise. */
bool call_read_lifetime(struct call *call, struct term t,
			enum handles_lifetime *lifetime);

/* Writes {error, Posix} as the result; always true. */
bool call_write_error(struct call *call, int error);
/* {error, ambiguous}; always true. */
bool call_write_ambiguous(struct call *call);
bool call_write_notype(struct call *call);
/* ok, or {error, Posix} for -errno; always true. */
bool call_write_ok(struct call *call, int error);

#endif
