/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAP_SCAN_H
#define MAP_SCAN_H

#include "bpf/map.h"
#include "bpf/map_walk.h"

/*
 * A look at the ids of the maps in a map of maps, a step at a time. Other kinds
 * of resource are never scanned, so that callers need not know maps:
 *
 *	error = map_scan_open(&scan, resource, NULL);
 *	while (error == 0 && !scan.done) {
 *		error = map_scan_step(&scan);
 *		for (size_t i = 0; i < scan.count; i++)
 *			... scan.ids[i] ...
 *	}
 *	map_scan_close(&scan);
 */
struct map_scan {
	bool done;
	size_t count; /* of ids, found by the last step */
	const uint32_t *ids;
	struct map *map; /* private from here */
	struct map_walk walk;
	struct map_walk_room room;
};

/* Whether maps can be in it. */
bool map_scan_is_outer(struct resource *resource);

/*
 * The resource is the caller's, and an outer map, and stays open until
 * map_scan_close(). stopped is as in struct map_walk. -ENOMEM.
 */
int map_scan_open(struct map_scan *scan, struct resource *resource,
		  const atomic_bool *stopped);

/*
 * Takes milliseconds at most. 0 or -errno, as map_get() and map_walk_next(),
 * but -ENOBUFS only for a bucket that exceeds all reason.
 */
int map_scan_step(struct map_scan *scan);

/* Also for a scan of zeros, or one that failed to open. */
void map_scan_close(struct map_scan *scan);

#endif
