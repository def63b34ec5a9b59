/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LISTENERS_H
#define LISTENERS_H

#include "dist/address.h"

#define LISTENERS_MAX 16

/* The sockets on which nodes connect, all at one port. */
struct listeners {
	int fds[LISTENERS_MAX];
	unsigned count;
};

/*
 * Listens on each address, at that port; 0: at one that is free on all of them.
 * Returns the port, or -errno with the number of the address that failed; then
 * none is open.
 */
int listeners_open(struct listeners *listeners, const struct address *addresses,
		   unsigned count, uint16_t port, unsigned *failed);
void listeners_close(struct listeners *listeners);

#endif
