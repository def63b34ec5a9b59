/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRANSPORT_INTERNAL_H
#define TRANSPORT_INTERNAL_H

#include <errno.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "dist/transport.h"

/* Shared by transport.c and transport_tls.c. Those that send hold out_lock. */

/*
 * data stays in memory until all of it is sent. So a slow reader's limit is on
 * the whole size, not on the bytes left.
 */
struct transport_sending {
	bool may_wait;
	int64_t deadline; /* in clock_ms(), for those that need one */
};

static inline struct transport_sending
transport_begin_sending(const struct transport *t, size_t size)
{
	bool may_wait = size <= t->max_waiting;

	return (struct transport_sending){
		.may_wait = may_wait,
		.deadline = may_wait && !t->tls
				    ? 0
				    : clock_ms() + t->ticktime * INT64_C(1000),
	};
}

/* One recv(2), as transport_receive(). */
static inline ssize_t transport_receive_raw(const struct transport *t, char *to,
					    size_t size)
{
	ssize_t n;

	do {
		n = recv(t->fd, to, size, 0);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* All of data by send(2), as transport_send(). */
int transport_send_raw(const struct transport *t, const char *data, size_t size,
		       const struct transport_sending *sending);

/* What is left of a send; _try_rest() without waiting, false: some still is. */
int transport_send_rest(struct transport *t,
			const struct transport_sending *sending);
bool transport_try_rest(struct transport *t);

void transport_note_send(struct transport *t);
void transport_unlock_out(struct transport *t);

/* --- transport_tls.c: through a session ---------------------------------- */

/*
 * Into the room behind in_end, without counting it. _open_received() does not
 * receive; -EAGAIN: there is nothing.
 */
ssize_t transport_open_received(struct transport *t);
ssize_t transport_receive_opened(struct transport *t);

int transport_send_sealed(struct transport *t, const char *data, size_t size,
			  const struct transport_sending *sending);
enum transport_offered transport_offer_sealed(struct transport *t,
					      const char *data, size_t size);

#endif
