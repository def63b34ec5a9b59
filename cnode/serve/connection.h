/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONNECTION_H
#define CONNECTION_H

#include <ei.h>
#include <stddef.h>

#include "call/permissions.h"
#include "functions/functions.h"
#include "serve/peers.h"

/*
 * Bytes of one connection at most: its stack, and its buffers as far as they
 * do not count in the budget.
 */
#define CONNECTION_SIZE ((size_t)1024 * 1024)

/* What all connections share: each safe to use from any thread. */
struct service {
	ei_cnode *node;
	int listener; /* as ei_xlisten() returned it */
	struct call_common common;
	struct budget *budget; /* of what is in memory for them */
	struct peers *peers;
	const struct permissions *permissions;
	size_t max_waiting; /* bytes, for longer than ticktime */
	unsigned ticktime;  /* s */
};

/*
 * Starts a thread that serves whoever has connected to fd, until it hangs up
 * or is hung up. Owns fd, also when it fails. service must outlast the thread,
 * which peers_shutdown() waits for.
 */
void connection_start(struct service *service, int fd);

#endif
