/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registry of connections, for what one connection has to do with others:
 * how many there are, who replaces whom, ticks while a thread is at work, and
 * the end of them all. One lock; a peer leaves under it before its descriptor
 * is closed, so that nobody shuts down or ticks another one's.
 */
#include "peers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct peers {
	pthread_mutex_t lock;
	pthread_cond_t left; /* signalled when the last one has gone */
	struct peer *first;
	unsigned count;
	unsigned max;
	bool closing;
};

struct peers *peers_new(unsigned max)
{
	struct peers *peers = calloc(1, sizeof(*peers));
	pthread_condattr_t monotonic;

	if (!peers)
		return NULL;
	pthread_mutex_init(&peers->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&peers->left, &monotonic);
	pthread_condattr_destroy(&monotonic);
	peers->max = max;
	return peers;
}

void peers_free(struct peers *peers)
{
	if (!peers)
		return;
	pthread_cond_destroy(&peers->left);
	pthread_mutex_destroy(&peers->lock);
	free(peers);
}

int peers_enter(struct peers *peers, struct peer *peer)
{
	int error = 0;

	pthread_mutex_lock(&peers->lock);
	if (peers->closing || peers->count >= peers->max) {
		error = -EMFILE;
	} else {
		peer->previous = NULL;
		peer->next = peers->first;
		if (peers->first)
			peers->first->previous = peer;
		peers->first = peer;
		peers->count++;
	}
	pthread_mutex_unlock(&peers->lock);
	return error;
}

void peers_leave(struct peers *peers, struct peer *peer)
{
	pthread_mutex_lock(&peers->lock);
	if (peer->previous)
		peer->previous->next = peer->next;
	else
		peers->first = peer->next;
	if (peer->next)
		peer->next->previous = peer->previous;
	peers->count--;
	if (peers->count == 0)
		pthread_cond_signal(&peers->left);
	pthread_mutex_unlock(&peers->lock);
}

void peers_name(struct peers *peers, struct peer *peer, const char *name)
{
	struct peer *other;

	pthread_mutex_lock(&peers->lock);
	for (other = peers->first; other; other = other->next)
		if (other != peer && strcmp(other->name, name) == 0)
			transport_shutdown(other->transport);
	strncpy(peer->name, name, sizeof(peer->name) - 1);
	pthread_mutex_unlock(&peers->lock);
}

bool peers_tick_busy(struct peers *peers)
{
	struct peer *peer;
	unsigned turns;
	bool any;

	pthread_mutex_lock(&peers->lock);
	for (peer = peers->first; peer; peer = peer->next) {
		turns = atomic_load(&peer->turns);
		if (atomic_load(&peer->busy) && turns == peer->turns_seen)
			transport_tick(peer->transport);
		peer->turns_seen = turns;
	}
	any = peers->first;
	pthread_mutex_unlock(&peers->lock);
	return any;
}

bool peers_shutdown(struct peers *peers, int timeout_ms)
{
	struct timespec deadline;
	struct peer *peer;
	int error = 0;

	clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_sec += timeout_ms / 1000;
	pthread_mutex_lock(&peers->lock);
	peers->closing = true;
	for (peer = peers->first; peer; peer = peer->next)
		transport_shutdown(peer->transport);
	while (peers->first && error == 0)
		error = pthread_cond_timedwait(&peers->left, &peers->lock,
					       &deadline);
	pthread_mutex_unlock(&peers->lock);
	return error == 0;
}
