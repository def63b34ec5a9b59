/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHILD_H
#define CHILD_H

#include <stddef.h>

/* A query. */
struct child_task {
	/* 0 with the result, or errno */
	int (*work)(void *result, const void *about);
	const void *about;
	const char *what; /* for the log, if it takes more than a second */
	int most_ms;      /* -1: no limit */
};

/*
 * Runs the task in a child process and waits for it. 0 and a result of size
 * bytes, or an errno: ETIMEDOUT, ENODATA if the child has crashed, or that of
 * work(). This process must be single-threaded.
 */
int child_ask(const struct child_task *task, void *result, size_t size);

#endif
