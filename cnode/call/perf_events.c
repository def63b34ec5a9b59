/* SPDX-License-Identifier: Apache-2.0 */
/* Perf events for a perf event array, which the loader's child opens. */
#include "call/perf_events.h"

#include <errno.h>
#include <unistd.h>

#include "bpf/program_words.h"
#include "call/loading.h"
#include "call/refusal.h"

static bool may_open(struct call *call)
{
	const struct call_common *common = call->context->common;

	if (!common->loader)
		return refusal_raise(call, REFUSAL_NO_PROGRAMS, NULL);
	return program_words_have(common->program_words, PROGRAMS_TRACING) ||
	       refusal_raise(call, REFUSAL_PROGRAM_TYPE, "perf_event_array");
}

static void take(struct loading *loading, struct perf_events *events)
{
	struct record record;
	size_t at = 0;
	int fd;

	while (events->perf.count < LOADER_MAX_ANSWER_FDS &&
	       loading_next(loading, &at, &record)) {
		fd = record.kind == LOADER_R_EVENT
			     ? loader_answer_take(&loading->answer, record.fd)
			     : -1;
		if (fd >= 0)
			events->events[events->perf.count++] =
				(struct perf_event){ (uint32_t)record.number,
						     fd };
	}
}

bool perf_events_open(struct call *call, uint32_t buffer,
		      struct perf_events *events, bool *done)
{
	struct loading loading;
	bool good;

	*done = true;
	events->perf = (struct events_perf){ .events = events->events };
	if (!may_open(call))
		return false;
	loading_init(&loading, LOADER_PERF);
	loading_add_number(&loading, LOADER_O_WATERMARK, buffer / PERF_WAKEUPS);
	good = loading_ask(call, &loading, done);
	if (good && !*done) {
		take(&loading, events);
		*done = events->perf.count == 0 &&
			loading_lied(call, "it opened no perf event");
	}
	loading_fini(&loading);
	return good;
}

void perf_events_fini(struct perf_events *events)
{
	for (unsigned i = 0; i < events->perf.count; i++)
		close(events->events[i].fd);
	events->perf.count = 0;
}
