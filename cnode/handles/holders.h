/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HOLDERS_H
#define HOLDERS_H

#include <ei.h>
#include <stdint.h>
#include <sys/queue.h>

#include "bpf/resource.h"

/*
 * Counts the handles of each node, by its name: those held by its incarnations,
 * and the permanent ones that they made. Callers do the locking.
 */
struct holder {
	LIST_ENTRY(holder) entry; /* beside node: lookups read both */
	char node[MAXATOMLEN_UTF8];
	uint32_t handles[RESOURCE_CLASSES];
	uint32_t reserved[RESOURCE_CLASSES];
	unsigned users;                    /* owners and permanent handles */
	LIST_HEAD(, handles_owner) owners; /* incarnations of node */
};

#define HOLDERS_BUCKETS 1024

struct holders {
	LIST_HEAD(, holder) buckets[HOLDERS_BUCKETS]; /* empty if zeroed */
};

/* The holder of a node, with a reference; NULL: no memory. */
struct holder *holders_open(struct holders *holders, const char *node);
/* The same without one; NULL: there is none. */
struct holder *holders_find(const struct holders *holders, const char *node);
struct holder *holders_ref(struct holder *holder);
void holders_close(struct holder *holder); /* takes NULL */

/* Frees those that are left, which nobody uses any more. */
void holders_fini(struct holders *holders);

#endif
