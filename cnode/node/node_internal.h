/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NODE_INTERNAL_H
#define NODE_INTERNAL_H

#include "base/budget.h"
#include "node/node.h"
#include "node/notify.h"
#include "serve/connection.h"

/* The node, as node.c and node_start.c have it. */
struct node {
	const struct options *options;
	ei_cnode ei;
	struct transport listener;
	int port;
	int signals;
	bool accept_paused; /* there is no descriptor for one more connection */
	uint64_t max_map_memory;           /* bytes, */
	const char *map_memory_is_half_of; /* or NULL: it was given */
	struct notify notify;
	struct budget budget;
	struct service service;
};

/* All that comes before serving; what went wrong has been logged. */
enum exit_status node_start(struct node *node);

#endif
