/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONNECTION_H
#define CONNECTION_H

#include <ei.h>
#include <stdbool.h>
#include <stddef.h>

#include "call/permissions.h"
#include "functions/functions.h"
#include "serve/peers.h"

/*
 * The most bytes that one connection takes outside the budget: its stack, and
 * buffers too small to count.
 */
#define CONNECTION_SIZE ((size_t)1024 * 1024)

/* Shared by all connections; each member may be used from any thread. */
struct service {
	ei_cnode *node;
	int listener; /* as ei_xlisten() returned it */
	struct call_common common;
	struct budget *budget; /* of their buffers */
	struct peers *peers;
	const struct permissions *permissions;
	struct tls *tls; /* NULL: without TLS */
	bool tls_or_plain;
	bool tls_any_name;  /* names of nodes are not compared */
	size_t max_waiting; /* bytes, for longer than ticktime */
	unsigned ticktime;  /* s */
};

/*
 * Starts a thread that serves the peer at fd until either side disconnects.
 * Takes ownership of fd, even on failure. service must outlive the thread;
 * peers_shutdown() waits for it.
 */
void connection_start(struct service *service, int fd);

#endif
