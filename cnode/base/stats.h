/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STATS_H
#define STATS_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/queue.h>

#define STATS_FUNCTIONS 64 /* rows of the table, at most */
#define STATS_ERRORS 160   /* an errno, or STATS_RAISED and a reason */
#define STATS_RAISED 140
#define STATS_LATENCIES 48 /* 2^47 ns are 39 hours */

/* Written by one thread, read by any: what is read may be a moment old. */
typedef _Atomic uint64_t stats_count;

/* What was done for one connected node, or for all. */
struct stats {
	stats_count requests[STATS_FUNCTIONS];
	stats_count errors[STATS_ERRORS];
	stats_count bytes_in;
	stats_count bytes_out;
	/* [n]: requests that were answered in less than 2^n ns */
	stats_count latencies[STATS_LATENCIES];
	/* the list's own */
	LIST_ENTRY(stats) entry;
};

/* No other thread adds to the same count, so that it needs no lock. */
static inline void stats_add(stats_count *count, uint64_t n)
{
	uint64_t sum = atomic_load_explicit(count, memory_order_relaxed) + n;

	atomic_store_explicit(count, sum, memory_order_relaxed);
}

static inline void stats_add_latency(struct stats *stats, int64_t ns)
{
	int bits = ns > 0 ? 64 - __builtin_clzll((unsigned long long)ns) : 0;

	if (bits >= STATS_LATENCIES)
		bits = STATS_LATENCIES - 1;
	stats_add(&stats->latencies[bits], 1);
}

/* An errno of bpf(2) that is not in the table, 524, counts as 0. */
static inline void stats_add_error(struct stats *stats, int error)
{
	stats_add(&stats->errors[error < STATS_ERRORS ? error : 0], 1);
}

/* Those of all nodes, connected or gone. Safe to use from any thread. */
struct stats_all;

struct stats_all *stats_all_new(void);
void stats_all_free(struct stats_all *all);

/* A node has connected, whose counts are these; and it has gone. */
void stats_join(struct stats_all *all, struct stats *stats);
void stats_leave(struct stats_all *all, struct stats *stats);

/* A connection was not taken in. */
void stats_refused(struct stats_all *all);

struct stats_report {
	struct stats sum;
	uint32_t connections;
	uint64_t refused;
	int64_t uptime; /* ms */
};

/* Waits for nobody that serves a request, and has nobody wait. */
void stats_read(struct stats_all *all, struct stats_report *report);

uint64_t stats_requests(const struct stats *stats);
uint64_t stats_errors(const struct stats *stats);

/* So many of a thousand requests were answered in less than this, in ns;
 * 0: there were none. */
uint64_t stats_latency(const struct stats *stats, unsigned thousandths);

#endif
