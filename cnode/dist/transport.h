/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRANSPORT_H
#define TRANSPORT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct account;
struct handshake;

/*
 * The stream under one connection, buffered both ways. One thread owns it;
 * transport_tick(), transport_is_gone() and transport_shutdown() alone may be
 * called from others.
 */
struct transport {
	int fd;
	unsigned ticktime; /* s */
	size_t max_waiting;
	struct account *account;       /* of all that waits for the peer, */
	_Atomic int64_t waiting_since; /* large: in clock_ms(), 0: nothing */
	/* the handshake */
	struct handshake *handshake; /* while it lasts */
	uint64_t peer_flags;
	uint32_t peer_creation;
	/* input: bytes [in_pos, in_end) have come and are not consumed */
	char *in;
	size_t in_pos;
	size_t in_end;
	size_t in_capacity;
	/* output */
	pthread_mutex_t out_lock; /* of sending, and of what follows */
	size_t owed;              /* bytes of a tick that is half sent */
	int64_t sent_at;          /* when anything was sent last */
	atomic_uint sends;        /* how often */
	atomic_bool stopped;      /* transport_shutdown() was called */
};

/* Owns fd from here on. False: no memory. */
bool transport_init(struct transport *t, int fd, unsigned ticktime,
		    size_t max_waiting, struct account *account);
void transport_fini(struct transport *t);

/*
 * Sends end after so long at the latest, and receives after a quarter of it;
 * that is to be ticktime once the handshake is over.
 */
void transport_bound_waits(struct transport *t, unsigned seconds);

/* What is there: in[in_pos .. in_end). */
size_t transport_available(const struct transport *t);
const char *transport_data(const struct transport *t);

/*
 * The first size bytes of it are a whole message: however long it is served,
 * it is under way no longer.
 */
void transport_has_come(struct transport *t, size_t size);

/* Drops size bytes of it. */
void transport_consume(struct transport *t, size_t size);

/*
 * Receives what has come by one recv(2), into a buffer that holds at least
 * 64 KiB and grows with what comes up to wanted bytes. > 0: something came;
 * 0: the peer hung up; -EAGAIN: nothing came for a quarter of the tick time;
 * -ENOSPC: there is no memory for a larger buffer.
 */
ssize_t transport_receive(struct transport *t, size_t wanted);

/*
 * Sends it all. -ETIMEDOUT: the peer took nothing for a tick time. -ENOBUFS: it
 * is more than max_waiting, and the peer did not take all of it in that time.
 * data must be whole packets.
 */
int transport_send(struct transport *t, const char *data, size_t size);

/* From any thread: a tick, unless something is being sent anyway. */
void transport_tick(struct transport *t);

/*
 * From another thread, which sends it ticks while the owner is at work: whether
 * the peer has hung up, or its host has been silent for ticktime and has not
 * even acknowledged them.
 */
bool transport_is_gone(struct transport *t);

/* From another thread: ends both directions; the owner will notice. */
void transport_shutdown(struct transport *t);

#endif
