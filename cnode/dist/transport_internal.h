/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRANSPORT_INTERNAL_H
#define TRANSPORT_INTERNAL_H

#include "dist/transport.h"

/* Shared by transport.c and transport_tls.c. Those that send hold out_lock. */

/*
 * data stays in memory until all of it is sent. So a slow reader's limit is on
 * the whole size, not on the bytes left.
 */
struct transport_sending {
	bool may_wait;
	int64_t deadline;
};

struct transport_sending transport_begin_sending(const struct transport *t,
						 size_t size);

/* One recv(2); all of data by send(2). As transport_receive() and _send(). */
ssize_t transport_receive_raw(const struct transport *t, char *to, size_t size);
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
