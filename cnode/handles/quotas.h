/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QUOTAS_H
#define QUOTAS_H

#include <ei.h>
#include <stdint.h>
#include <sys/queue.h>

/*
 * How many handles each node has, by its name: what its incarnations hold, and
 * what is permanent that one of them has made. Who uses it sees to locking.
 */
struct quota {
	LIST_ENTRY(quota) others; /* beside what is looked for */
	char node[MAXATOMLEN_UTF8];
	uint32_t handles;
	unsigned users; /* owners and permanent handles that point here */
	LIST_HEAD(, handles_owner) owners; /* whose name that is */
};

#define QUOTAS_CHAINS 1024

struct quotas {
	LIST_HEAD(, quota) chains[QUOTAS_CHAINS]; /* of zeros: empty */
};

/* That of a node, to be given back; NULL: no memory. */
struct quota *quotas_open(struct quotas *quotas, const char *node);
struct quota *quotas_ref(struct quota *quota);
void quotas_close(struct quota *quota); /* takes NULL */

#endif
