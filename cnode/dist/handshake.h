/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HANDSHAKE_H
#define HANDSHAKE_H

#include <ei.h>
#include <stddef.h>
#include <stdint.h>

#include "dist/transport.h"

/*
 * What ei_connect_xinit_ussi() is given, of static storage, as ei needs. The
 * context that goes with it is a struct transport, for the listening socket.
 */
extern ei_socket_callbacks handshake_callbacks;

#define HANDSHAKE_NAME_OFFSET 17 /* of the name, in the peer's first packet */

/* One handshake with a peer that has connected. */
struct handshake {
	/* by the caller */
	ei_cnode *node;
	int listener;     /* the descriptor that ei_xlisten() returned */
	int64_t deadline; /* for the whole of it, in clock_ms() */
	/*
	 * NULL, or why no peer is let in that calls itself so. It has not
	 * shown yet that it knows the cookie.
	 */
	const char *(*judge)(void *context, const char *name);
	void *context;
	/* the handshake's own */
	ErlConnect *peer;
	int error;           /* errno of what failed on the socket */
	unsigned writes;     /* our packets: status, challenge, digest */
	const char *refusal; /* why the peer was turned away by its name */
	char first[HANDSHAKE_NAME_OFFSET + MAXNODELEN]; /* the peer's packet */
	size_t first_size; /* of what there is of it; the rest is dropped */
};

/*
 * Ei's handshake, with the capabilities added that it does not know of. NULL,
 * and the peer's flags and creation are in t, whose waits are bound by ticktime
 * from then on; or why it failed, and then peer->nodename is what the peer
 * called itself, perhaps nothing.
 */
const char *handshake_accept(struct handshake *h, struct transport *t,
			     ErlConnect *peer);

#endif
