/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PINS_H
#define PINS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct map;

/*
 * Calls visit for each pin of a map, found by a walk through all bpf file
 * systems; what of it is not 0 ends that. What may not be looked at is passed
 * over; -errno where one cannot look for want of descriptors, memory or /proc.
 */
typedef int (*pins_visitor)(struct map *map, void *context);
int pins_each(pins_visitor visit, void *context);

/* The pins of maps, in the order of map_id. */
struct pin {
	uint32_t map_id;
	char *path;
};

struct pins {
	struct pin *list;
	size_t count;
};

/*
 * Finds all of them, or those of one map. 0, or -errno where memory or
 * descriptors are short; without /proc there are none. -ECANCELED: *stopped
 * became true.
 */
int pins_find(struct pins *pins, const atomic_bool *stopped);
int pins_find_of(struct pins *pins, uint32_t map_id,
		 const atomic_bool *stopped);
void pins_free(struct pins *pins);

/* The first of those of that map, and how many they are. */
const struct pin *pins_of(const struct pins *pins, uint32_t map_id,
			  size_t *count);

/*
 * 1 if there are max pins or more, of whatever, below the folder that root is a
 * descriptor of, or with -1 in all bpf file systems; 0 or -errno. Opens none of
 * them, and looks no further than to max, which is not 0.
 */
int pins_reach(int root, uint32_t max);

#endif
