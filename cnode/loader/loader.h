/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LOADER_H
#define LOADER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "loader/loader_protocol.h"
#include "loader/records.h"

struct account;
struct user;

/*
 * The process that opens objects, loads and runs programs, and attaches what
 * the node itself may not: malformed objects crash libbpf. It forks a child for
 * each request. Those that keep an attachment outlive the request, and the
 * loader. Thread-safe, but for its start and end.
 */
struct loader;

struct loader_options {
	uint32_t words;        /* --programs: set of program_words.h */
	unsigned max_loads;    /* children at once */
	unsigned max_keepers;  /* and these, which stay */
	unsigned load_seconds; /* of a load or an attachment */
	unsigned run_seconds;
	uint64_t memory; /* bytes, of a child */
	const struct user *user;
	bool no_sandbox;
};

/* How long a child may take. */
static inline unsigned loader_seconds(const struct loader_options *options,
				      uint32_t job)
{
	return job == LOADER_RUN ? options->run_seconds : options->load_seconds;
}

/* Forks it. The process must be single-threaded, and know no secret yet. NULL:
 * errors have been logged. */
struct loader *loader_start(const struct loader_options *options);

/* It ends; keepers go by their own descriptors. NULL is fine. */
void loader_stop(struct loader *loader);

/* Whether it is still there; logs once when it is not. */
bool loader_is_there(struct loader *loader);

/* Has POLLHUP once it is gone; -1: that has been noted, or there is none. */
int loader_fd(const struct loader *loader);

struct loader_request {
	enum loader_job job;
	const struct records *records;
	const void *object; /* ELF, or instructions; NULL: none */
	size_t object_size;
	const int *fds;
	unsigned fd_count;
	const char *node; /* who asks: each has its turn */
	const atomic_bool *stopped;
	struct account *account; /* the answer's bytes count there */
};

enum loader_outcome {
	LOADER_ANSWERED, /* read the records */
	LOADER_GONE,
	LOADER_KILLED,
	LOADER_TIMEOUT,
	/* 8 of that node wait, or it waited for 30 s, or too many descriptors
	   of this user are on their way */
	LOADER_BUSY,
	LOADER_NO_MEMORY, /* here */
	LOADER_CANCELED,  /* *stopped became true */
};

struct loader_answer {
	char *bytes; /* records of enum loader_result */
	size_t size;
	size_t capacity;
	int *fds; /* -1: taken over by who reads it */
	unsigned fd_count;
	struct account *account;
};

/* Waits for a free child, and for its answer, which the caller gives back by
 * loader_answer_free() in any case. */
enum loader_outcome loader_ask(struct loader *loader,
			       const struct loader_request *request,
			       struct loader_answer *answer);

/* Takes over a descriptor of the answer; -1: there is none with this index. */
int loader_answer_take(struct loader_answer *answer, uint32_t index);

/* Closes those that nobody took. */
void loader_answer_free(struct loader_answer *answer);

/*
 * Ends an attachment that is no kernel link, by the descriptor of its keeper;
 * to close that does the same, without waiting. 0 once it is gone; -ESRCH if
 * the keeper was gone before: the attachment may have stayed. -ETIMEDOUT:
 * the keeper is still at it; -ECANCELED: *stopped became true.
 */
int loader_keeper_end(int fd, const atomic_bool *stopped);

#endif
