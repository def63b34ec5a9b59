/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PEERS_H
#define PEERS_H

#include <ei.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "transport.h"

/* A connection among all those of this node; lives in struct connection. */
struct peer {
	struct transport *transport;
	char name[MAXATOMLEN_UTF8]; /* "" until the handshake is over */
	/* set by its thread: it is at work, and how often it began to be */
	atomic_bool busy;
	atomic_uint turns;
	/* the registry's own */
	unsigned turns_seen;
	struct peer *next;
	struct peer *previous;
};

/* All connections of this node. Safe to use from any thread. */
struct peers;

struct peers *peers_new(unsigned max);
void peers_free(struct peers *peers);

/* -EMFILE: there are as many as may be. */
int peers_enter(struct peers *peers, struct peer *peer);

/* Must come before the transport's end. */
void peers_leave(struct peers *peers, struct peer *peer);

/* The handshake is over: an older connection of that name is ended. */
void peers_name(struct peers *peers, struct peer *peer, const char *name);

/*
 * Ticks those whose thread has been at work since the last time, which would
 * be taken for dead. To be called twice a second. False: there are no peers.
 */
bool peers_tick_busy(struct peers *peers);

/* Ends all connections and waits until they have left. False: not in time. */
bool peers_shutdown(struct peers *peers, int timeout_ms);

#endif
