/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions of ebpf_events:
 *
 *	subscribe(Ring | log, Pid[, Options]) -> Subscription :: pid()
 *	                | {error, notype | Posix}
 *	unsubscribe(Subscription) -> ok | {error, esrch}
 *	subscriptions() -> [Info]
 *	subscriptions(Ring | log) -> [Info]
 *	push(Value, UserRing) -> UserRing
 *
 *	Info = #{subscription, pid => pid(), ring => Id | log, credit, sent,
 *messages, bytes, skipped, filtered, stalls, fill => integer()}
 *
 * Options are those of call/event_options.c, messages those of
 * events/batches.c.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>

#include "bpf/user_ring.h"
#include "call/event_options.h"
#include "call/objects.h"
#include "call/perf_events.h"
#include "call/refusal.h"
#include "call/values.h"
#include "call/views.h"
#include "functions/handlers.h"
#include "handles/audit.h"

/* --- subscribe/2,3 ------------------------------------------------------- */

/* A process of the caller's node; no other would be told of ends. */
static bool read_pid(struct call *call, struct term t)
{
	const char *node, *peer = call->context->peer;
	size_t size;

	return (term_read_pid_node(t, &node, &size) && size == strlen(peer) &&
		memcmp(node, peer, size) == 0) ||
	       raise_reason(call, RAISED_BADARG);
}

/* call->map stays NULL for the log. */
static bool read_ring(struct call *call, struct term t)
{
	return term_is_atom(t, "log") || call_read_map(call, t);
}

/*
 * Events go to one reader: to subscribe to a ring of somebody else takes them
 * away from him. Of maps made here the memory is counted.
 */
static bool check_ring(struct call *call)
{
	const struct map *map = call->map;

	if (!map)
		return true;
	if (map->type != BPF_MAP_TYPE_RINGBUF &&
	    map->type != BPF_MAP_TYPE_PERF_EVENT_ARRAY)
		return raise_errno(call, -EOPNOTSUPP);
	return map->charge || call->context->permission >= PERMISSION_LOAD ||
	       refusal_raise(call, REFUSAL_FOREIGN_RING, NULL);
}

/* The first to subscribe to a perf event array has the loader open it. */
static bool try(struct call *call, struct events_request *request, int *error,
		bool *done)
{
	struct perf_events events;
	bool good;

	*done = false;
	*error = events_subscribe(call->context->events, request,
				  &call->subscription);
	if (*error != -ENODATA)
		return true;
	good = perf_events_open(call, request->buffer, &events, done);
	request->perf = &events.perf;
	if (!*done)
		*error = events_subscribe(call->context->events, request,
					  &call->subscription);
	request->perf = NULL;
	perf_events_fini(&events);
	return good;
}

/*
 * The handle may have ended meanwhile, before it was known that somebody
 * subscribes by it. Then the subscription ends as well, and {badmap, _} is
 * raised.
 */
static bool holds_on(struct call *call)
{
	struct resource *resource;

	if (!objects_is_handle(call->args[0], &map_kind))
		return true;
	resource = objects_read(call, call->args[0], &map_kind);
	if (resource)
		resource_unref(resource);
	else
		events_map_closed(call->context->common->events, call->map);
	return resource;
}

static bool subscribe(struct call *call, struct events_request *request)
{
	const struct events_made *made = &call->subscription;
	int error;
	bool done, good = try(call, request, &error, &done);

	if (done || error < 0) {
		event_options_fini(request);
		return done ? good : call_write_error(call, error);
	}
	if (!holds_on(call))
		return false;
	/* nothing of a subscription to the log is logged */
	if (request->ring)
		audit_resource((struct audit){ .event = "subscribed",
					       .handle = AUDIT_NO_HANDLE },
			       &call->map->resource);
	call->subscriber = request->to;
	term_write_term(call->out, (struct term){ made->pid, made->pid_size });
	return true;
}

bool event_functions_subscribe(struct call *call)
{
	struct events_request request = event_options_default;
	int error = 0;

	if (!read_ring(call, call->args[0]) || !read_pid(call, call->args[1]) ||
	    !check_ring(call) ||
	    !call_check_answer(call, 2 * PIDS_MAX_SIZE + CALL_MAX_HANDLE_SIZE))
		return false;
	if (call->arity == 3 &&
	    !event_options_read(call, call->args[2], &request, &error))
		return false;
	if (error != 0)
		return views_write_error(call, error);
	request.ring = call->map;
	request.to = call->args[1];
	return subscribe(call, &request);
}

bool event_functions_unsubscribe(struct call *call)
{
	static const struct term normal = { .size = 0 };

	if (!term_is_pid(call->args[0]))
		return raise_reason(call, RAISED_BADARG);
	return call_write_ok(
		call, events_end(call->context->events, call->args[0], normal)
			      ? 0
			      : -ESRCH);
}

/* --- subscriptions/0,1 --------------------------------------------------- */

struct listing {
	struct term_writer *out;
	uint32_t count;
};

static void write_info(const struct events_info *info, void *context)
{
	struct listing *listing = context;
	struct term_writer *w = listing->out;
	size_t map = term_write_map_open(w);

	term_write_atom(w, "subscription");
	term_write_term(w, info->pid);
	term_write_atom(w, "pid");
	term_write_term(w, info->to);
	if (info->ring == EVENTS_LOG) {
		term_write_atom(w, "ring");
		term_write_atom(w, "log");
	} else {
		term_write_entry(w, "ring", info->ring);
	}
	term_write_entry(w, "credit", info->credit);
	term_write_entry(w, "sent", info->sent);
	term_write_entry(w, "messages", info->messages);
	term_write_entry(w, "bytes", info->bytes);
	term_write_entry(w, "skipped", info->skipped);
	term_write_entry(w, "filtered", info->filtered);
	term_write_entry(w, "stalls", info->stalls);
	term_write_entry(w, "fill", info->fill);
	term_write_map_close(w, map, 11);
	listing->count++;
}

bool event_functions_subscriptions(struct call *call)
{
	struct listing listing = { .out = call->out };
	uint32_t ring = 0;
	size_t list;

	if (call->arity == 1) {
		if (!read_ring(call, call->args[0]))
			return false;
		ring = call->map ? call->map->resource.id : EVENTS_LOG;
	}
	list = term_write_list_open(call->out);
	events_each(call->context->common->events, ring, write_info, &listing);
	term_write_list_close(call->out, list, listing.count);
	return true;
}

/* --- push/2 -------------------------------------------------------------- */

bool event_functions_push(struct call *call)
{
	const char *value;
	size_t size;
	int error;

	if (!call_read_map(call, call->args[1]))
		return false;
	if (!term_read_binary(call->args[0], &value, &size))
		return raise_reason(call, RAISED_BADARG);
	error = user_ring_push(call->map, value, size);
	if (error < 0)
		return raise_errno(call, error);
	term_write_term(call->out, call->args[1]);
	return true;
}
