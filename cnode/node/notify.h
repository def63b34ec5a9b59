/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOTIFY_H
#define NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

#define NOTIFY_STATUS_SIZE 80

/* What the service manager has been told, if one wants to be. */
struct notify {
	int fd; /* -1: none does */
	bool ready;
	bool watchdog; /* it wants signs of life */
	int64_t every; /* ms between two of them */
	int64_t due;
	char status[NOTIFY_STATUS_SIZE];
};

/*
 * For the very beginning, before any program is run and before sockets are out
 * of reach: takes NOTIFY_SOCKET and WATCHDOG_* out of the environment, since
 * they are for this process alone. What is wrong with them is logged.
 */
void notify_open(struct notify *notify);
void notify_close(struct notify *notify);

/*
 * ms until notify_running() is to be called: 0 is now, -1 never. The first
 * time is at once.
 */
int notify_wait(const struct notify *notify);

/*
 * For the main loop, which tells by it that it still turns: that the node is
 * ready, the first time; the status, one line of less than NOTIFY_STATUS_SIZE
 * bytes, where it is another one; and a sign of life where they are wanted.
 * Never blocks.
 */
void notify_running(struct notify *notify, const char *status);

/* The end has begun. */
void notify_stopping(struct notify *notify);

#endif
