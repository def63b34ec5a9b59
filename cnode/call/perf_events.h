/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PERF_EVENTS_H
#define PERF_EVENTS_H

#include "bpf/perf_rings.h"
#include "call/call.h"
#include "loader/loader_protocol.h"

/* Perf events, one for each processor that is online. */
struct perf_events {
	struct perf_event events[LOADER_MAX_ANSWER_FDS];
	struct events_perf perf; /* those that nobody has taken over */
};

/*
 * Has the loader open them, for buffers of so many bytes. *done: the call has
 * its result, {error, _}. False: an exception was raised: eacces without
 * --programs and the word `tracing'.
 */
bool perf_events_open(struct call *call, uint32_t buffer,
		      struct perf_events *events, bool *done);

/* Closes what nobody has taken over. */
void perf_events_fini(struct perf_events *events);

#endif
