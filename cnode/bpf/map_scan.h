/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAP_SCAN_H
#define MAP_SCAN_H

#include "bpf/map.h"
#include "bpf/map_walk.h"

/*
 * Lists the ids of the maps in a map of maps, a step at a time. No other kind
 * of resource can be scanned; callers need not know maps:
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
	size_t count; /* of ids, from the last step */
	const uint32_t *ids;
	struct map *map; /* private from here */
	struct map_walk walk;
	struct map_walk_buffer buffer;
};

/* True for a map of maps. */
bool map_scan_is_outer(struct resource *resource);

/*
 * The resource must be an outer map, and the caller keeps it open until
 * map_scan_close(). stopped is as in struct map_walk. 0 or -ENOMEM.
 */
int map_scan_open(struct map_scan *scan, struct resource *resource,
		  const atomic_bool *stopped);

/*
 * Takes milliseconds. 0 or -errno, as map_get() and map_walk_next(); -ENOBUFS
 * only for a bucket of more than 64 MiB.
 */
int map_scan_step(struct map_scan *scan);

/* Also takes a zeroed scan, or one that failed to open. */
void map_scan_close(struct map_scan *scan);

#endif
