/* SPDX-License-Identifier: Apache-2.0 */
/* Logs a line of statistics, at SIGUSR1. */
#include "node/stats_log.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/log.h"
#include "functions/functions.h"

/* A list as text; elements that do not fit are left out. */
struct text {
	char bytes[STATS_FUNCTIONS * 32];
	size_t size;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *text,
						      const char *format, ...)
{
	size_t left = sizeof(text->bytes) - text->size;
	va_list arguments;
	int n;

	va_start(arguments, format);
	n = vsnprintf(text->bytes + text->size, left, format, arguments);
	va_end(arguments);
	if (n > 0 && (size_t)n < left)
		text->size += (size_t)n;
	text->bytes[text->size] = '\0';
}

static void list_requests(struct text *text, const struct stats *sum)
{
	struct function_name function;

	for (size_t i = 0; functions_name(i, &function); i++) {
		bool with_module = functions_needs_module(&function);

		if (sum->requests[i] == 0)
			continue;
		add(text, " %s%s%s/%u %" PRIu64,
		    with_module ? function.module : "", with_module ? ":" : "",
		    function.name, function.arity, (uint64_t)sum->requests[i]);
	}
}

static void list_errors(struct text *text, const struct stats *sum)
{
	char buffer[POSIX_NAME_SIZE];

	for (size_t i = 0; i < STATS_ERRORS; i++)
		if (sum->errors[i] > 0)
			add(text, " %s %" PRIu64, raise_error_name(i, buffer),
			    (uint64_t)sum->errors[i]);
}

static void list_latencies(struct text *text, const struct stats *sum)
{
	for (size_t i = 0; i < STATS_LATENCIES; i++)
		if (sum->latencies[i] > 0)
			add(text, " <%" PRIu64 " %" PRIu64, (uint64_t)1 << i,
			    (uint64_t)sum->latencies[i]);
}

void stats_log(struct stats_all *all, struct handles *handles)
{
	struct text requests = { .size = 0 }, errors = { .size = 0 },
		    latencies = { .size = 0 };
	struct stats_report r;
	const struct stats *sum = &r.sum;

	stats_read(all, &r);
	list_requests(&requests, sum);
	list_errors(&errors, sum);
	list_latencies(&latencies, sum);
	log_notice("stats: up %" PRId64 " s, %u connections, %" PRIu64
		   " refused, %u handles, %" PRIu64 " bytes in, %" PRIu64
		   " out, %" PRIu64 " requests [%s ], %" PRIu64
		   " errors [%s ], answered in ns [%s ], half of the requests "
		   "within %" PRIu64 " ns, 99%% within %" PRIu64
		   " ns, all within %" PRIu64 " ns",
		   r.uptime / 1000, r.connections, r.refused,
		   handles_count(handles), (uint64_t)sum->bytes_in,
		   (uint64_t)sum->bytes_out, stats_requests(sum),
		   requests.bytes, stats_errors(sum), errors.bytes,
		   latencies.bytes, stats_latency(sum, 500),
		   stats_latency(sum, 990), stats_latency(sum, 1000));
}
