/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LOADING_H
#define LOADING_H

#include "call/call.h"
#include "loader/loader.h"

/*
 * What the functions that ask the loader share: a request for one call, and the
 * errors of its answer.
 */
struct loading {
	struct loader_request request; /* the caller sets job, object, fds */
	struct records records;
	struct loader_answer answer;
};

/* The words that --programs allows go in by themselves. */
void loading_init(struct loading *loading, enum loader_job job);
void loading_fini(struct loading *loading);

void loading_add_number(struct loading *loading, enum loader_option kind,
			uint64_t number);
void loading_add_bytes(struct loading *loading, enum loader_option kind,
		       const void *data, size_t size);

/*
 * Asks. *done: the call has its result, {error, _}, and there is nothing to
 * read. False: an exception was raised, as badarg, whose text is logged at
 * info.
 */
bool loading_ask(struct call *call, struct loading *loading, bool *done);

/*
 * The answer is not what was asked for, or not what the kernel says: logs that
 * at warning, and writes {error, {loader, killed}}; always true.
 */
bool loading_lied(struct call *call, const char *how);

/* The next record of the answer; false at its end. */
bool loading_next(const struct loading *loading, size_t *at,
		  struct record *record);

/* Logs what is wrong with an argument, at info, and raises badarg: false. */
__attribute__((format(printf, 2, 3))) bool
loading_wrong(struct call *call, const char *format, ...);

#endif
