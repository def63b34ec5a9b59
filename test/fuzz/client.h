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
	bool framed; /* what was sent are whole packets */
	bool ended;  /* our node has hung up */
	char *in;    /* what came, yet to be looked at */
	size_t in_size;
	uint32_t pings; /* sent to it, the last of which */
	bool answered;
};

/* Connects and shakes hands, which has to succeed. */
void client_open(struct client *c);
/* Hangs up, and waits for the other side to do so. */
void client_close(struct client *c);

/* Sends, and reads meanwhile. */
void client_send(struct client *c, const void *data, size_t size);
/* Takes in what is there. */
void client_read(struct client *c);

/*
 * Asks whether our node is there. While all was framed there is an answer, or
 * an end: false.
 */
bool client_ping(struct client *c);

#endif
