/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a node that has subscribed is sent, as far as its socket takes it; and
 * what its processes learn of ends.
 */
#include "base/clock.h"
#include "dist/control.h"
#include "dist/transport.h"
#include "events/events_internal.h"

/* bytes for a node that reads none */
#define MAX_NOTICES ((size_t)1024 * 1024)

/* --- Sending ------------------------------------------------------------- */

/* Whether it was taken. */
static bool offer(struct events_peer *peer, const char *data, size_t size)
{
	switch (transport_offer(peer->transport, data, size)) {
	case TRANSPORT_SENT:
		peer->state = PEER_FREE;
		return true;
	case TRANSPORT_KEPT:
		peer->state = PEER_FULL;
		return true;
	case TRANSPORT_BUSY:
		peer->state = PEER_BUSY;
		return false;
	case TRANSPORT_FULL:
		peer->state = PEER_FULL;
		return false;
	}
	return false;
}

static bool send_notices(struct events_peer *peer)
{
	struct term_writer *notices = &peer->notices;

	if (notices->pos == 0)
		return true;
	if (!offer(peer, notices->buf, notices->pos))
		return false;
	term_writer_fini(notices);
	return true;
}

bool events_peer_send(struct events_peer *peer, const char *data, size_t size)
{
	return peer->state == PEER_FREE && send_notices(peer) &&
	       peer->state == PEER_FREE && offer(peer, data, size);
}

void events_peer_send_due(struct events_peer *peer, int64_t now)
{
	struct subscription *s;

	if (peer->state == PEER_FREE)
		send_notices(peer);
	TAILQ_FOREACH(s, &peer->subscriptions, of_peer)
	{
		if (peer->state != PEER_FREE)
			return;
		batch_send_if_due(s, now);
	}
}

void events_peer_resume(struct events_peer *peer)
{
	struct subscription *s;

	if (!offer(peer, NULL, 0))
		return;
	events_peer_send_due(peer, clock_ms());
	TAILQ_FOREACH(s, &peer->subscriptions, of_peer)
	source_resume(s->source);
}

/* --- Watchers ------------------------------------------------------------ */

static void write_reason(struct term_writer *w, const struct end *end)
{
	if (end->shutdown) {
		term_write_tuple(w, 2);
		term_write_atom(w, "shutdown");
		term_write_atom(w, end->shutdown);
	} else if (end->reason.size > 0) {
		term_write_term(w, end->reason);
	} else {
		term_write_atom(w, "normal");
	}
}

static void tell(const struct subscription *s, const struct watcher *watcher,
		 const struct end *end)
{
	struct term_writer *w = &s->peer->notices;
	struct term to = { watcher->terms, watcher->pid_size };
	struct term ref = { watcher->terms + watcher->pid_size,
			    watcher->ref_size };
	size_t pos = w->pos, at;

	at = ref.size > 0 ? control_begin_monitor_exit(w, s->own, to, ref)
			  : control_begin_exit(w, s->own, to);
	write_reason(w, end);
	control_end(w, at);
	if (!w->failed && w->pos <= MAX_NOTICES)
		return;
	/* who is not told would wait for ever: as if the node were down */
	term_writer_rewind(w, pos);
	transport_shutdown(s->peer->transport);
}

void events_peer_tell_end(struct subscription *s, const struct end *end)
{
	struct term_writer *w = &s->peer->notices;
	const struct watcher *watcher;
	size_t pos = w->pos;

	LIST_FOREACH(watcher, &s->watchers, entry)
	tell(s, watcher, end);
	if (!end->by_to) {
		control_write_demonitor(w, s->own, s->to, &s->monitor);
		if (w->failed)
			term_writer_rewind(w, pos);
	}
	if (s->peer->state == PEER_FREE)
		send_notices(s->peer);
}
