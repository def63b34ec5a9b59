/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PIDS_H
#define PIDS_H

#include "term/term.h"

/* a tag, the name of the node with its header, three numbers of 32 bits */
#define PIDS_MAX_SIZE (1 + 3 + MAXATOMLEN_UTF8 + 3 * 4)

/*
 * The pids of this node as terms, for one thread, which has a serial number of
 * its own in them: nothing is shared, and the node's name is encoded once.
 */
struct pids {
	size_t size;
	uint32_t made;
	char self[PIDS_MAX_SIZE];
	char fresh[PIDS_MAX_SIZE];
};

/* False where ei makes no pid of this node, or cannot encode it. */
bool pids_init(struct pids *pids, ei_cnode *node);

/* The one of the node itself. */
struct term pids_self(const struct pids *pids);

/* One that was not made in the last 2^32; good until the next one is made. */
struct term pids_make(struct pids *pids);

#endif
