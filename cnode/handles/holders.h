/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HOLDERS_H
#define HOLDERS_H

#include <ei.h>
#include <stdint.h>
#include <sys/queue.h>

/*
 * How many handles each node has, by its name: what its incarnations hold, and
 * what is permanent that one of them has made. Who uses it sees to locking.
 */
struct holder {
	LIST_ENTRY(holder) entry; /* beside what is looked for */
	char node[MAXATOMLEN_UTF8];
	uint32_t handles;
	unsigned users; /* owners and permanent handles that point here */
	LIST_HEAD(, handles_owner) owners; /* whose name that is */
};

#define HOLDERS_BUCKETS 1024

struct holders {
	LIST_HEAD(, holder) buckets[HOLDERS_BUCKETS]; /* of zeros: empty */
};

/* That of a node, to be given back; NULL: no memory. */
struct holder *holders_open(struct holders *holders, const char *node);
struct holder *holders_ref(struct holder *holder);
void holders_close(struct holder *holder); /* takes NULL */

#endif
