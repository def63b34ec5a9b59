/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PEERS_H
#define PEERS_H

#include <ei.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/queue.h>

#include "dist/transport.h"
#include "handles/handles.h"

/* A connection among all those of this node; lives in struct connection. */
struct peer {
	struct transport *transport;
	int64_t deadline;           /* of its handshake, in clock_ms() */
	char name[MAXATOMLEN_UTF8]; /* "" until peers_join() */
	/* set by its thread: it is at work, and how often it began to be */
	atomic_bool busy;
	atomic_uint turns;
	/* the registry's own */
	bool connected; /* it has one of the places; else it shakes hands */
	bool replaced;  /* it has to go, for another one */
	bool gone;      /* it was not there any more the last time */
	unsigned turns_seen;
	unsigned sends_seen;
	TAILQ_ENTRY(peer) entry;
};

/* All connections of this node. Safe to use from any thread. */
struct peers;

/* max is of nodes that are connected, their handshakes being over. */
struct peers *peers_new(unsigned max, unsigned max_handshakes);
void peers_free(struct peers *peers);

/*
 * For its handshake, for which the one that has been at its own for longest
 * has to go where there are max_handshakes, and is waited for. -EMFILE: it does
 * not go.
 */
int peers_enter(struct peers *peers, struct peer *peer);

/* Whether a peer had to go for another one. */
bool peers_was_replaced(struct peers *peers, const struct peer *peer);

/* Must come before the transport's end. */
void peers_leave(struct peers *peers, struct peer *peer);

/*
 * The handshake is over: older connections of that name are ended, and the
 * peer becomes the owner's, so that of two that come at once the one that is
 * not ended has the owner. Then they are waited for, until the time of the
 * handshake is over: what they did comes before what this one asks for, and
 * its place is theirs. 0; -EMFILE: there are as many nodes as may be; -ESTALE:
 * another one of that name has come; -ETIMEDOUT: an older one has not ended;
 * -ESHUTDOWN: peers_shutdown() was called; -ENOMEM.
 */
int peers_join(struct peers *peers, struct peer *peer, const char *name,
	       struct handles *handles, struct handles_owner **owner);

/*
 * Ticks those that have been at work, or have been sending, since the last
 * time, and were sent nothing: they would take us for dead. Ends those that
 * have gone while they are served: half a second later, for what asks briefly
 * and goes. To be called twice a second or more often. False: there are no
 * peers.
 */
bool peers_tick(struct peers *peers);

/*
 * Ends the connections for which something large has been in memory for longer
 * than ms, since they were slow to send or to take it; a request that has come
 * whole and is being served is nothing of the kind.
 */
void peers_end_slow(struct peers *peers, int64_t ms);

/* Ends all connections and waits until they have left. False: not in time. */
bool peers_shutdown(struct peers *peers, int timeout_ms);

#endif
