/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HANDSHAKE_H
#define HANDSHAKE_H

#include <ei.h>
#include <stddef.h>
#include <stdint.h>

#include "dist/transport.h"

/*
 * For ei_connect_xinit_ussi(), which needs static storage. The context to pass
 * with it is a struct transport, whose socket listens; ei_xlisten() makes it
 * known to ei.
 */
extern ei_socket_callbacks handshake_callbacks;

#define HANDSHAKE_NAME_OFFSET 17 /* of the name, in the peer's first packet */

/* One handshake with a peer that has connected. */
struct handshake {
	/* set by the caller */
	ei_cnode *node;
	int listener; /* the descriptor that ei_xlisten() returned */
	/*
	 * Why a peer of that name is refused, or NULL. The peer has not proven
	 * yet that it knows the cookie.
	 */
	const char *(*judge)(void *context, const char *name);
	void *context;
	/* private to handshake.c */
	ErlConnect *peer;
	int error;           /* errno of a failure of the socket */
	unsigned writes;     /* our packets: status, challenge, digest */
	const char *refusal; /* why the peer's name was refused */
	char first[HANDSHAKE_NAME_OFFSET + MAXNODELEN]; /* the peer's packet */
	size_t first_size; /* bytes of it kept; the rest is dropped */
	size_t left;       /* TLS: bytes of the packet that ei has begun */
};

/*
 * Performs ei's handshake, until the transport's deadline, and offers the
 * capabilities that ei does not know. NULL on success: t has the peer's flags
 * and creation, and its waits are bound by ticktime from now on. Else why it
 * failed; peer->nodename is then the name that the peer gave, perhaps empty.
 */
const char *handshake_accept(struct handshake *h, struct transport *t,
			     ErlConnect *peer);

#endif
