/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STATS_H
#define STATS_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/queue.h>

#define STATS_FUNCTIONS 96 /* rows of the table, at most */
#define STATS_ERRORS 160   /* an errno, or STATS_RAISED and a reason */
#define STATS_RAISED 140
#define STATS_LATENCIES 48 /* 2^47 ns are 39 hours */

/* Written by one thread, read by any, perhaps a moment late. */
typedef _Atomic uint64_t stats_count;

/* The counters of one connected node, or of all together. */
struct stats {
	stats_count requests[STATS_FUNCTIONS];
	stats_count errors[STATS_ERRORS];
	stats_count bytes_in;
	stats_count bytes_out;
	/* [n]: requests that were answered in less than 2^n ns */
	stats_count latencies[STATS_LATENCIES];
	/* private to stats.c */
	LIST_ENTRY(stats) entry;
};

/* Only one thread writes a counter, so a load and a store are enough. */
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

/* An errno beyond the table, as ENOTSUPP (524), counts as 0. */
static inline void stats_add_error(struct stats *stats, int error)
{
	stats_add(&stats->errors[error < STATS_ERRORS ? error : 0], 1);
}

/* The counters of all nodes, connected or gone; may be used by any thread. */
struct stats_all;

struct stats_all *stats_all_new(void);
void stats_all_free(struct stats_all *all);

/* Adds the counters of a node that connects; folds them in when it leaves. */
void stats_join(struct stats_all *all, struct stats *stats);
void stats_leave(struct stats_all *all, struct stats *stats);

/* Counts a connection that was refused. */
void stats_refused(struct stats_all *all);

struct stats_report {
	struct stats sum;
	uint32_t connections;
	uint64_t refused;
	int64_t uptime; /* ms */
};

/* Neither waits for a request being served, nor delays one. */
void stats_read(struct stats_all *all, struct stats_report *report);

uint64_t stats_requests(const struct stats *stats);
uint64_t stats_errors(const struct stats *stats);

/*
 * The ns within which that many in a thousand requests were answered; 0: there
 * were no requests.
 */
uint64_t stats_latency(const struct stats *stats, unsigned thousandths);

#endif
