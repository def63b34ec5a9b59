/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLIENT_H
#define CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A node that connects to ours, in this process. */
struct client {
	const char *alive;
	uint32_t creation;
	bool less_capable; /* no aliases, no exit payloads */
	int fd;
	bool framed; /* only whole packets were sent */
	bool ended;  /* our node has disconnected */
	char *in;    /* received, not yet parsed */
	size_t in_size;
	uint32_t pings; /* sent to it */
	bool answered;  /* the last ping */
};

/* Connects and shakes hands, which must succeed. */
void client_open(struct client *c);
/* Disconnects, and waits for our node to do so. */
void client_close(struct client *c);

/* Sends, and reads meanwhile. */
void client_send(struct client *c, const void *data, size_t size);
/* Reads what is there. */
void client_read(struct client *c);

/*
 * Pings our node. While all was framed, it answers, or has disconnected: false.
 */
bool client_ping(struct client *c);

#endif
