/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PIDS_H
#define PIDS_H

#include "term/term.h"

/* a tag, the node's name with its header, three 32-bit numbers */
#define PIDS_MAX_SIZE (1 + 3 + MAXATOMLEN_UTF8 + 3 * 4)

/*
 * This node's pids as terms, for one thread. Each thread has a serial number of
 * its own, so that nothing is shared, and encodes the node's name once.
 */
struct pids {
	size_t size;
	uint32_t made;
	char self[PIDS_MAX_SIZE];
	char fresh[PIDS_MAX_SIZE];
};

/* False: ei cannot make or encode a pid of this node. */
bool pids_init(struct pids *pids, ei_cnode *node);

/* The pid of the node itself. */
struct term pids_self(const struct pids *pids);

/* A pid unlike the last 2^32; valid until the next one is made. */
struct term pids_make(struct pids *pids);

#endif
