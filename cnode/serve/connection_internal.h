/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONNECTION_INTERNAL_H
#define CONNECTION_INTERNAL_H

#include "base/budget.h"
#include "serve/connection.h"
#include "serve/session.h"

/* A connection; private to connection.c and connection_serve.c. */
struct connection {
	struct service *service;
	struct account account;
	struct peer peer;
	struct transport transport;
	struct session session;
	struct stats stats;
	struct term_writer out;
	size_t skip;        /* bytes to come of a request that was refused */
	unsigned quiets;    /* receives in a row that timed out */
	bool entered;       /* peers_enter() succeeded */
	char refusal[1200]; /* why it is refused, if that is no constant */
};

/*
 * Sends what is in out, and frees out if it is too large to keep. -errno: as
 * transport_send().
 */
int connection_flush(struct connection *c);

/* Serves the peer until the connection ends. -errno: why it ended. */
int connection_serve(struct connection *c);

#endif
