/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOTIFY_H
#define NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

#define NOTIFY_STATUS_SIZE 80

/* The state of notifications to the service manager, if there is one. */
struct notify {
	int fd;        /* -1: there is none */
	bool ready;    /* READY=1 has been sent */
	bool watchdog; /* keep-alives are expected */
	int64_t every; /* ms between two messages */
	int64_t due;   /* clock_ms() of the next */
	char status[NOTIFY_STATUS_SIZE];
};

/*
 * To be called first, before any program is run and before the sandbox: takes
 * NOTIFY_SOCKET and WATCHDOG_* out of the environment, since they are for this
 * process alone. Errors in them are logged.
 */
void notify_open(struct notify *notify);
void notify_close(struct notify *notify);

/* ms until notify_running() is due: 0 is now, -1 never. At first it is now. */
int notify_wait(const struct notify *notify);

/*
 * Called by the main loop, to show that it still turns. Sends READY=1 the first
 * time, the status if it has changed, and a keep-alive if one is expected.
 * status is one line of less than NOTIFY_STATUS_SIZE bytes. Never blocks.
 */
void notify_running(struct notify *notify, const char *status);

/* The node is shutting down. */
void notify_stopping(struct notify *notify);

#endif
