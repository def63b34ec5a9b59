/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counts of requests, errors, bytes and latencies. Each connection has its own
 * counters, so that counting costs one addition; a reader adds them up.
 */
#include "base/stats.h"

#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define COUNTS (offsetof(struct stats, entry) / sizeof(stats_count))

struct stats_all {
	pthread_mutex_t lock; /* of members, gone and connections */
	LIST_HEAD(, stats) members;
	struct stats gone; /* the sum of those that left */
	uint32_t connections;
	stats_count refused;
	int64_t started;
};

struct stats_all *stats_all_new(void)
{
	struct stats_all *all = calloc(1, sizeof(*all));

	if (!all)
		return NULL;
	pthread_mutex_init(&all->lock, NULL);
	LIST_INIT(&all->members);
	all->started = clock_ms();
	return all;
}

void stats_all_free(struct stats_all *all)
{
	if (!all)
		return;
	pthread_mutex_destroy(&all->lock);
	free(all);
}

/* struct stats starts with its counters, COUNTS of them without a gap. */
static void add_up(struct stats *sum, const struct stats *stats)
{
	stats_count *to = sum->requests;
	const stats_count *from = stats->requests;

	for (size_t i = 0; i < COUNTS; i++)
		stats_add(&to[i],
			  atomic_load_explicit(&from[i], memory_order_relaxed));
}

void stats_join(struct stats_all *all, struct stats *stats)
{
	pthread_mutex_lock(&all->lock);
	LIST_INSERT_HEAD(&all->members, stats, entry);
	all->connections++;
	pthread_mutex_unlock(&all->lock);
}

void stats_leave(struct stats_all *all, struct stats *stats)
{
	pthread_mutex_lock(&all->lock);
	LIST_REMOVE(stats, entry);
	all->connections--;
	add_up(&all->gone, stats);
	pthread_mutex_unlock(&all->lock);
}

void stats_refused(struct stats_all *all)
{
	atomic_fetch_add_explicit(&all->refused, 1, memory_order_relaxed);
}

void stats_read(struct stats_all *all, struct stats_report *report)
{
	const struct stats *member;

	memset(report, 0, sizeof(*report));
	pthread_mutex_lock(&all->lock);
	add_up(&report->sum, &all->gone);
	LIST_FOREACH(member, &all->members, entry)
	add_up(&report->sum, member);
	report->connections = all->connections;
	pthread_mutex_unlock(&all->lock);
	report->refused = all->refused;
	report->uptime = clock_ms() - all->started;
}

static uint64_t sum_of(const stats_count *counts, size_t n)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += counts[i];
	return sum;
}

uint64_t stats_requests(const struct stats *stats)
{
	return sum_of(stats->requests, STATS_FUNCTIONS);
}

uint64_t stats_errors(const struct stats *stats)
{
	return sum_of(stats->errors, STATS_ERRORS);
}

uint64_t stats_latency(const struct stats *stats, unsigned thousandths)
{
	uint64_t total = sum_of(stats->latencies, STATS_LATENCIES);
	uint64_t wanted = (total * thousandths + 999) / 1000, sum = 0;

	if (total == 0)
		return 0;
	for (size_t i = 0; i < STATS_LATENCIES; i++) {
		sum += stats->latencies[i];
		if (sum >= wanted)
			return (uint64_t)1 << i;
	}
	return (uint64_t)1 << STATS_LATENCIES;
}
