/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHILD_H
#define CHILD_H

#include <stddef.h>

/* Something to find out. */
struct child_task {
	/* 0 with the result, or errno */
	int (*work)(void *result, const void *about);
	const void *about;
	const char *what; /* for the log, where it takes more than a second */
	int most_ms;      /* -1: for as long as it takes */
};

/*
 * Has it found out by a process of its own, which is over then. 0 with the
 * result, of size bytes; else errno: ETIMEDOUT, ENODATA where the process has
 * crashed, or what work() says. Only for a process of one thread.
 */
int child_ask(const struct child_task *task, void *result, size_t size);

#endif
