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
struct tls_session;

/* What is left of a tick, or of an offer, that the socket took in part. */
struct transport_rest {
	const char *bytes;
	size_t size; /* 0: nothing */
	char *block; /* the allocated block that they are in; NULL: none */
};

/*
 * The stream under one connection, buffered both ways. One thread owns it;
 * transport_tick(), transport_offer(), transport_is_gone() and
 * transport_shutdown() alone may be called from others.
 */
struct transport {
	int fd;
	unsigned ticktime; /* s */
	size_t max_waiting;
	struct account *account; /* of all that is buffered */
	/* since when something large is buffered, in clock_ms(); 0: nothing */
	_Atomic int64_t waiting_since;
	/* the handshake */
	struct handshake *handshake; /* while it lasts */
	int64_t deadline;            /* of it, in clock_ms(); 0: it is over */
	uint64_t peer_flags;
	uint32_t peer_creation;
	/* input: bytes [in_pos, in_end) are received and not consumed */
	char *in;
	size_t in_pos;
	size_t in_end;
	size_t in_capacity;
	struct tls_session *tls; /* NULL: what is sent is plain */
	/* output */
	pthread_mutex_t out_lock;   /* of sending, rest, sent_at and tls */
	struct transport_rest rest; /* is sent before all else */
	_Atomic int64_t sent_at;    /* time of the last send, in clock_ms() */
	atomic_uint sends;          /* number of sends */
	atomic_bool stopped;        /* transport_shutdown() was called */
	/* an offer found another send in progress: it is to be called once
	   that is over, by whichever thread sent */
	atomic_bool awaited;
	void (*is_free)(void *context);
	void *context;
};

/* Takes ownership of fd. False: out of memory. */
bool transport_init(struct transport *t, int fd, unsigned ticktime,
		    size_t max_waiting, struct account *account);
void transport_fini(struct transport *t);

/*
 * The handshake, from its beginning to its end, has to be over at the deadline,
 * in clock_ms(): no wait outlasts that by much. After it, ticktime limits each
 * send, and a quarter of that each receive.
 */
void transport_begin_handshake(struct transport *t, int64_t deadline);
void transport_end_handshake(struct transport *t);

/*
 * Until the handshake is over: waits until the socket is ready for events of
 * poll(2). 0 or -errno; -ETIMEDOUT at the deadline.
 */
int transport_await(struct transport *t, short events);

/*
 * Before anything is sent: goes over to TLS, with what has been received as its
 * first bytes, and performs its handshake until the deadline. Takes ownership
 * of the session. 0; -EPROTO: see tls_session_failure(); -ECONNRESET; -errno.
 */
int transport_secure(struct transport *t, struct tls_session *tls);

/* The bytes received and not consumed. */
size_t transport_available(const struct transport *t);
const char *transport_data(const struct transport *t);

/*
 * Says that the first size bytes are a whole message: however long it is
 * served, the peer is not slow to send it.
 */
void transport_has_come(struct transport *t, size_t size);

/* Drops the first size bytes. */
void transport_consume(struct transport *t, size_t size);

/*
 * Receives by one recv(2), into a buffer of at least 64 KiB that grows with the
 * data up to wanted bytes. > 0: bytes received; 0: the peer disconnected;
 * -EAGAIN: nothing came for a quarter of the tick time; -ENOSPC: no memory for
 * a larger buffer; -EPROTO: see tls_session_failure().
 */
ssize_t transport_receive(struct transport *t, size_t wanted);

/*
 * The same without recv(2), of what has come with a record before; -EAGAIN:
 * there is nothing, so the socket may be waited for.
 */
ssize_t transport_receive_rest(struct transport *t);

/*
 * Sends all of data, which must be whole packets. -ETIMEDOUT: the peer read
 * nothing for a tick time. -ENOBUFS: size is above max_waiting, and the peer
 * did not read all of it within a tick time.
 */
int transport_send(struct transport *t, const char *data, size_t size);

/* From any thread: sends a tick, unless a send is in progress. */
void transport_tick(struct transport *t);

enum transport_offered {
	TRANSPORT_SENT, /* all of it; or the connection has ended */
	TRANSPORT_KEPT, /* a part of it: offer more once the peer has read */
	TRANSPORT_BUSY, /* nothing: is_free will be called */
	TRANSPORT_FULL, /* nothing: the peer has to read first */
};

/*
 * From another thread, which may not wait: sends data, which must be whole
 * packets. If the socket takes a part of it, the rest is copied, and sent
 * before all else: by the next send, or the next offer, also one of 0 bytes
 * once the socket takes more.
 */
enum transport_offered transport_offer(struct transport *t, const char *data,
				       size_t size);

/*
 * From another thread, which ticks while the owner serves a request: whether
 * the peer has disconnected, or its host has not even acknowledged data or
 * ticks for ticktime.
 */
bool transport_is_gone(struct transport *t);

/* From another thread: shuts down both directions, which the owner notices. */
void transport_shutdown(struct transport *t);

#endif
