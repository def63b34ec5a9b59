/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PEERS_H
#define PEERS_H

#include <ei.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/queue.h>

#include "dist/transport.h"
#include "handles/handles.h"
#include "tls/tls.h"

/* A connection as the registry knows it; part of struct connection. */
struct peer {
	struct transport *transport;
	int64_t deadline; /* of its handshake, in clock_ms() */
	/* why this node ends the connection; NULL: it does not */
	_Atomic(const char *) ending;
	char name[MAXATOMLEN_UTF8]; /* "" until peers_join() */
	/* set by its thread */
	atomic_bool busy;  /* it serves requests */
	atomic_uint turns; /* how often it began to */
	/* private to peers.c */
	bool connected; /* counts as connected; else as a handshake */
	bool replaced;  /* must end, in favour of another */
	bool gone;      /* had disconnected at the last look */
	unsigned turns_seen;
	unsigned sends_seen;
	TAILQ_ENTRY(peer) entry;
};

/* All connections of this node; may be used from any thread. */
struct peers;

/* max limits connected nodes, which are through their handshakes. */
struct peers *peers_new(unsigned max, unsigned max_handshakes);
void peers_free(struct peers *peers);

/*
 * Registers a peer for its handshake. If there are max_handshakes, ends the
 * oldest of them and waits for that. -EMFILE: it has not ended in time.
 */
int peers_enter(struct peers *peers, struct peer *peer);

/* Whether a peer was ended in favour of another. */
bool peers_was_replaced(struct peers *peers, const struct peer *peer);

/*
 * Must be called before transport_fini(). Then, once the thread uses nothing
 * any more that is shared: peers_has_left().
 */
void peers_leave(struct peers *peers, struct peer *peer);
void peers_has_left(struct peers *peers);

/*
 * Makes a peer connected after its handshake. Ends older connections of the
 * same name and sets *owner; of two that come at once, the one that is not
 * ended keeps the owner. Then it waits for the older ones, until the
 * handshake's deadline, so that their requests are done before this one's
 * begin; it takes over their slot. Returns 0; -EMFILE: max nodes are connected;
 * -ESTALE: a newer connection of that name has come; -ETIMEDOUT: an older one
 * has not ended; -ESHUTDOWN: peers_shutdown() was called; -EACCES, -ENOMEM as
 * handles_owner_up().
 */
int peers_join(struct peers *peers, struct peer *peer,
	       const struct handles_node *node, struct handles *handles,
	       struct handles_owner **owner);

/*
 * Sends ticks to peers that are being served, or have sent something, and were
 * sent nothing since the last call: they would believe that this node is down.
 * Ends connections whose peer disconnected while it was served, on the second
 * look, so that a short-lived peer's requests are done. To be called at least
 * twice a second. False: there are no peers.
 */
bool peers_tick(struct peers *peers);

/*
 * Ends connections that have kept something large in memory for longer than ms
 * by sending or reading it slowly. A request that is complete and being served
 * is not slow.
 */
void peers_end_slow(struct peers *peers, int64_t ms);

/*
 * Ends connections with TLS whose certificate has expired, or is revoked by the
 * lists that are used now. Returns the ms until the next one expires; -1: none.
 */
int peers_end_expired(struct peers *peers, const struct tls *tls);

/* Ends all connections and waits for them to leave. False: timed out. */
bool peers_shutdown(struct peers *peers, int timeout_ms);

#endif
