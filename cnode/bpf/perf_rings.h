/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PERF_RINGS_H
#define PERF_RINGS_H

#include <stddef.h>
#include <stdint.h>

#include "bpf/ring.h"

struct map;

#define PERF_MAX_BUFFER 16777216u /* bytes for each processor */
#define PERF_WAKEUPS 4 /* parts of a buffer, each of which wakes its reader */

/* A perf event of a processor, to which programs can write. */
struct perf_event {
	uint32_t cpu;
	int fd; /* perf_event_open(2) */
};

/*
 * Makes a ring of each event, and puts the event into a map of type
 * BPF_MAP_TYPE_PERF_EVENT_ARRAY, where programs of that processor find it. The
 * descriptors are taken over, even on failure. An event of a processor for
 * which the map has no entry is closed. *count: of events, and then of rings. 0
 * or -errno: -EPERM: the user's perf_event_mlock_kb is used up, or the map is
 * frozen; -EACCES: its descriptor cannot write; -ENODEV: no event is left.
 */
int perf_rings_open(const struct map *map, const struct perf_event *events,
		    unsigned *count, uint32_t buffer, struct ring *rings);

/* Takes the events out of the map, and closes them. */
void perf_rings_close(const struct map *map, struct ring *rings,
		      unsigned count);

#endif
