/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NODE_INTERNAL_H
#define NODE_INTERNAL_H

#include "base/budget.h"
#include "dist/listeners.h"
#include "node/node.h"
#include "node/notify.h"
#include "serve/connection.h"
#include "tls/tls.h"

/* Shared by node.c and node_start.c. */
struct node {
	const struct options *options;
	ei_cnode ei;
	struct transport listener; /* the first of them, as ei knows it */
	struct listeners listeners;
	int port;
	int signals;
	bool accept_paused;                /* for lack of descriptors */
	uint64_t max_map_memory;           /* bytes, */
	const char *map_memory_is_half_of; /* NULL: by --max-map-memory */
	struct notify notify;
	struct budget budget;
	struct state *state; /* NULL: without --keep */
	struct tls *tls;     /* NULL: without --tls */
	int last_kept_fd;    /* those above are for connections */
	struct service service;
};

/* Everything up to serving. Errors have been logged. */
enum exit_status node_start(struct node *node);

#endif
