/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUNCTIONS_H
#define FUNCTIONS_H

#include <stdio.h>

#include "handles.h"
#include "permissions.h"
#include "pin_limit.h"
#include "posix.h"
#include "root.h"
#include "stats.h"
#include "term.h"

#define FUNCTIONS_MODULE "ebpf_maps"
#define FUNCTIONS_MAX_ARITY 5

struct account;
struct call;
struct map_memory;

/* Memory that is kept from call to call. */
struct buffer {
	char *octets;
	size_t capacity;
};

/* Options that callers are told of; the others stand where they act. */
struct functions_options {
	bool open_by_id;
	uint32_t max_maps;
	uint32_t max_maps_per_node;
	uint32_t grace; /* s */
};

/* What the functions work with, whoever calls. */
struct functions_common {
	struct handles *handles;
	struct map_memory *map_memory;
	struct stats_all *stats;
	struct root pin_root;
	struct root file_root;
	struct pin_limit pin_limit;
	size_t max_message; /* also the most that a buffer grows to */
	struct functions_options options;
};

/* And on behalf of one connected node. */
struct functions_context {
	struct functions_common *common;
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

enum raised_reason {
	RAISED_NOTHING,
	RAISED_UNDEF,
	RAISED_BADARG,
	RAISED_BADKEY,     /* {badkey, term} */
	RAISED_BADMAP,     /* {badmap, term} */
	RAISED_KEYEXISTS,  /* {keyexists, term} */
	RAISED_TOO_BIG,    /* {too_big, max_message} */
	RAISED_ERRNO,      /* error as an atom */
	RAISED_ERRNO_DONE, /* {error as an atom, done} */
	RAISED_AMBIGUOUS,  /* by open not: it returns {error, ambiguous} */
	RAISED_BADFUN,     /* {badfun, term} */
	RAISED_BADARITY,   /* {badarity, {Fun, Args}}: term is both */
};

/* How a map that stands there as a locator is opened, for that call. */
enum located {
	LOCATED_NEVER, /* a handle has to stand there */
	LOCATED_TO_READ,
	LOCATED_TO_WRITE, /* and to read */
};

/* An exception of class error. */
struct raised {
	enum raised_reason reason;
	struct term term;
	int error;
	uint64_t done;
};

/* One call: what came, where its result goes, and what went wrong. */
struct call {
	struct functions_context *context;
	struct term_writer *out;
	const char *function; /* its name, of the table */
	uint32_t arity;
	enum located located;
	struct term args[FUNCTIONS_MAX_ARITY];
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

/* Counts what was raised, or returned as an error. */
void functions_count_error(const struct call *call);

/* The name/arity of a row of the table; NULL past the last one. */
struct function_name {
	const char *name;
	uint32_t arity;
};

bool functions_name(size_t row, struct function_name *name);

/* What an error is called that is counted as errors[i] of struct stats. */
const char *functions_error_name(size_t i, char room[POSIX_NAME_SIZE]);

void functions_context_fini(struct functions_context *context);

/*
 * What this thread logs from now on is of the node of that context, and while
 * a call is served of that. There is no end to it but that of the thread.
 */
void functions_log_for(const struct functions_context *context);

/*
 * Calls module:function with as many of call->args; an arity above
 * FUNCTIONS_MAX_ARITY is that of no function. Writes its result to call->out
 * and returns true; or sets call->raised and returns false, when anything may
 * have been written.
 */
bool functions_call(struct call *call, struct term module, struct term function,
		    uint32_t arity);

/* Writes the reason of an exception as a term. */
void functions_write_reason(const struct call *call, struct term_writer *w);

/* All that is served: a line "Module:Name/Arity" each. */
void functions_print(FILE *file);

#endif
