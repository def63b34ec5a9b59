/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONNECTION_INTERNAL_H
#define CONNECTION_INTERNAL_H

#include "base/budget.h"
#include "serve/connection.h"
#include "serve/session.h"

/* A connection, as connection.c and connection_serve.c have it. */
struct connection {
	struct service *service;
	struct account account;
	struct peer peer;
	struct transport transport;
	struct session session;
	struct stats stats;
	struct term_writer out;
	size_t skip; /* bytes still to come of a request that is too long */
	unsigned quiets;
	bool entered;
};

/*
 * Sends what is in out, and keeps no more of it than counts on no account.
 * -errno: as transport_send().
 */
int connection_flush(struct connection *c);

/* Serves the peer until its end. -errno: why it ended. */
int connection_serve(struct connection *c);

#endif
