/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registry of connections, for all that concerns several of them: limits,
 * replacement, ticks while a thread is busy, and shutdown. One lock, taken
 * before that of the handles. A peer leaves under it before its descriptor is
 * closed, so that no other thread uses a descriptor that was reused.
 */
#include "serve/peers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "tls/tls_session.h"

#define LOOK_MS 400 /* at least, between looks at busy peers */
#define MAX_WAIT_S 3600
#define ENTER_MS 1000 /* for a handshake that was ended to leave */

struct peers {
	pthread_mutex_t lock;
	pthread_cond_t changed;          /* a peer has left, or must leave */
	TAILQ_HEAD(peer_list, peer) all; /* oldest first */
	unsigned leaving; /* no longer in the list, and not yet freed */
	unsigned handshakes;
	unsigned connected;
	unsigned max;
	unsigned max_handshakes;
	int64_t looked; /* time of the last look, in clock_ms() */
	bool closing;
};

struct peers *peers_new(unsigned max, unsigned max_handshakes)
{
	struct peers *peers = calloc(1, sizeof(*peers));
	pthread_condattr_t monotonic;

	if (!peers)
		return NULL;
	pthread_mutex_init(&peers->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&peers->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	TAILQ_INIT(&peers->all);
	peers->max = max;
	peers->max_handshakes = max_handshakes;
	return peers;
}

void peers_free(struct peers *peers)
{
	if (!peers)
		return;
	pthread_cond_destroy(&peers->changed);
	pthread_mutex_destroy(&peers->lock);
	free(peers);
}

/* Waits for a change. False: the deadline, in clock_ms(), has passed. */
static bool wait_until(struct peers *peers, int64_t deadline)
{
	struct timespec end = { .tv_sec = deadline / 1000,
				.tv_nsec = deadline % 1000 * 1000000 };

	return pthread_cond_timedwait(&peers->changed, &peers->lock, &end) == 0;
}

static void end(struct peers *peers, struct peer *peer)
{
	peer->replaced = true;
	transport_shutdown(peer->transport);
	pthread_cond_broadcast(&peers->changed);
}

static void end_oldest_handshake(struct peers *peers)
{
	struct peer *peer;

	TAILQ_FOREACH(peer, &peers->all, entry)
	{
		if (!peer->connected && !peer->replaced) {
			end(peers, peer);
			return;
		}
	}
}

/* Waits for the end of the oldest: until then it has a thread, a descriptor. */
static bool make_slot(struct peers *peers)
{
	int64_t deadline = clock_ms() + ENTER_MS;

	if (peers->handshakes >= peers->max_handshakes)
		end_oldest_handshake(peers);
	while (peers->handshakes >= peers->max_handshakes)
		if (!wait_until(peers, deadline))
			return false;
	return true;
}

int peers_enter(struct peers *peers, struct peer *peer)
{
	int error = -EMFILE;

	pthread_mutex_lock(&peers->lock);
	if (!peers->closing && make_slot(peers)) {
		TAILQ_INSERT_TAIL(&peers->all, peer, entry);
		peers->handshakes++;
		error = 0;
	}
	pthread_mutex_unlock(&peers->lock);
	return error;
}

bool peers_was_replaced(struct peers *peers, const struct peer *peer)
{
	bool replaced;

	pthread_mutex_lock(&peers->lock);
	replaced = peer->replaced;
	pthread_mutex_unlock(&peers->lock);
	return replaced;
}

/* There must be a free slot. */
static void take_slot(struct peers *peers, struct peer *peer)
{
	peer->connected = true;
	peers->handshakes--;
	peers->connected++;
}

/* The peer that waits to replace one of that name. */
static struct peer *find_heir(const struct peers *peers, const char *name)
{
	struct peer *peer;

	TAILQ_FOREACH(peer, &peers->all, entry)
	if (!peer->connected && !peer->replaced &&
	    strcmp(peer->name, name) == 0)
		return peer;
	return NULL;
}

void peers_leave(struct peers *peers, struct peer *peer)
{
	struct peer *heir;

	pthread_mutex_lock(&peers->lock);
	TAILQ_REMOVE(&peers->all, peer, entry);
	peers->leaving++;
	if (peer->connected) {
		peers->connected--;
		heir = find_heir(peers, peer->name);
		if (heir)
			take_slot(peers, heir);
	} else {
		peers->handshakes--;
	}
	pthread_cond_broadcast(&peers->changed);
	pthread_mutex_unlock(&peers->lock);
}

void peers_has_left(struct peers *peers)
{
	pthread_mutex_lock(&peers->lock);
	peers->leaving--;
	pthread_cond_broadcast(&peers->changed);
	pthread_mutex_unlock(&peers->lock);
}

/* --- One name, one connection ------------------------------------------- */

static void end_others(struct peers *peers, const char *name)
{
	struct peer *other;

	TAILQ_FOREACH(other, &peers->all, entry)
	if (strcmp(other->name, name) == 0)
		end(peers, other);
}

static bool is_there(const struct peers *peers, const struct peer *but,
		     const char *name)
{
	const struct peer *other;

	TAILQ_FOREACH(other, &peers->all, entry)
	if (other != but && strcmp(other->name, name) == 0)
		return true;
	return false;
}

/* A later connection may finish its handshake sooner. */
static bool is_outdated(const struct peer *peer, const char *name)
{
	const struct peer *other = peer;

	while ((other = TAILQ_NEXT(other, entry)))
		if (strcmp(other->name, name) == 0)
			return true;
	return false;
}

static int check(const struct peers *peers, const struct peer *peer,
		 const char *name)
{
	if (peers->closing)
		return -ESHUTDOWN;
	if (peer->replaced || is_outdated(peer, name))
		return -ESTALE;
	if (!peer->connected && peers->connected >= peers->max &&
	    !is_there(peers, peer, name))
		return -EMFILE;
	return 0;
}

/* Waits until no other peer has that name. */
static int wait_for_others(struct peers *peers, const struct peer *peer)
{
	int64_t deadline = peer->deadline;
	int error = check(peers, peer, peer->name);

	while (error == 0 && is_there(peers, peer, peer->name)) {
		if (!wait_until(peers, deadline))
			return -ETIMEDOUT;
		error = check(peers, peer, peer->name);
	}
	return error;
}

static int join(struct peers *peers, struct peer *peer,
		const struct handles_node *node, struct handles *handles,
		struct handles_owner **owner)
{
	int error = check(peers, peer, node->name);

	if (error == 0)
		error = handles_owner_up(handles, node, owner);
	if (error < 0)
		return error;
	end_others(peers, node->name);
	strncpy(peer->name, node->name, sizeof(peer->name) - 1);
	error = wait_for_others(peers, peer);
	if (error < 0)
		handles_owner_down(handles, *owner);
	else if (!peer->connected)
		take_slot(peers, peer);
	return error;
}

int peers_join(struct peers *peers, struct peer *peer,
	       const struct handles_node *node, struct handles *handles,
	       struct handles_owner **owner)
{
	int error;

	pthread_mutex_lock(&peers->lock);
	error = join(peers, peer, node, handles, owner);
	pthread_mutex_unlock(&peers->lock);
	return error;
}

/* --- While they are served ---------------------------------------------- */

/* Ends it on the second look: what came before the end has time to be done. */
static void end_if_gone(struct peer *peer)
{
	bool gone =
		atomic_load(&peer->busy) && transport_is_gone(peer->transport);

	if (gone && peer->gone)
		transport_shutdown(peer->transport);
	peer->gone = gone;
}

static void tick(struct peer *peer)
{
	unsigned turns = atomic_load(&peer->turns);
	unsigned sends = atomic_load(&peer->transport->sends);

	if ((atomic_load(&peer->busy) || turns != peer->turns_seen) &&
	    sends == peer->sends_seen && peer->connected)
		transport_tick(peer->transport);
	peer->turns_seen = turns;
	peer->sends_seen = atomic_load(&peer->transport->sends);
}

bool peers_tick(struct peers *peers)
{
	int64_t now = clock_ms();
	struct peer *peer;
	bool any;

	pthread_mutex_lock(&peers->lock);
	any = !TAILQ_EMPTY(&peers->all);
	if (now - peers->looked >= LOOK_MS) {
		peers->looked = now;
		TAILQ_FOREACH(peer, &peers->all, entry)
		{
			tick(peer);
			end_if_gone(peer);
		}
	}
	pthread_mutex_unlock(&peers->lock);
	return any;
}

void peers_end_slow(struct peers *peers, int64_t ms)
{
	static struct log_limit limit = LOG_LIMIT_INITIALIZER;
	int64_t now = clock_ms(), since;
	struct peer *peer;

	pthread_mutex_lock(&peers->lock);
	TAILQ_FOREACH(peer, &peers->all, entry)
	{
		since = atomic_load(&peer->transport->waiting_since);
		if (since == 0 || now - since <= ms)
			continue;
		log_limited(&limit, LOG_WARNING,
			    "disconnecting %s: --max-memory is used up, and a "
			    "message to or from it has taken %lld ms so far",
			    peer->name, (long long)(now - since));
		transport_shutdown(peer->transport);
	}
	pthread_mutex_unlock(&peers->lock);
}

/* --- Certificates --------------------------------------------------------- */

static void end_for(struct peer *peer, const char *reason)
{
	atomic_store(&peer->ending, reason);
	transport_shutdown(peer->transport);
}

int peers_end_expired(struct peers *peers, const struct tls *tls)
{
	int64_t now = time(NULL), left, next = INT64_MAX;
	struct tls_session *session;
	struct peer *peer;

	pthread_mutex_lock(&peers->lock);
	TAILQ_FOREACH(peer, &peers->all, entry)
	{
		/* before it is connected, its thread makes the session */
		session = peer->connected ? peer->transport->tls : NULL;
		if (!session || atomic_load(&peer->ending))
			continue;
		left = tls_session_expires(session) - now;
		if (left <= 0)
			end_for(peer, "its certificate has expired");
		else if (tls_session_is_revoked(session, tls))
			end_for(peer, "its certificate has been revoked");
		else if (left < next)
			next = left;
	}
	pthread_mutex_unlock(&peers->lock);
	if (next == INT64_MAX)
		return -1;
	return next > MAX_WAIT_S ? MAX_WAIT_S * 1000 : (int)next * 1000;
}

bool peers_shutdown(struct peers *peers, int timeout_ms)
{
	int64_t deadline = clock_ms() + timeout_ms;
	struct peer *peer;
	bool empty;

	pthread_mutex_lock(&peers->lock);
	peers->closing = true;
	TAILQ_FOREACH(peer, &peers->all, entry)
	transport_shutdown(peer->transport);
	pthread_cond_broadcast(&peers->changed);
	while (!(empty = TAILQ_EMPTY(&peers->all) && peers->leaving == 0))
		if (!wait_until(peers, deadline))
			break;
	pthread_mutex_unlock(&peers->lock);
	return empty;
}
