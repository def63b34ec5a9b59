/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PINS_H
#define PINS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct map;
struct resource;
struct resource_kind;

/*
 * Calls visit for each pin of a map in all bpf file systems; a result other
 * than 0 ends the walk and is returned. Skips what this process may not read;
 * -errno if descriptors, memory or /proc are missing.
 */
typedef int (*pins_visitor)(struct map *map, void *context);
int pins_each(pins_visitor visit, void *context);

/* Pins of objects of one kind, sorted by id. */
struct pin {
	uint32_t id;
	char *path;
};

struct pins {
	struct pin *list;
	size_t count;
};

/*
 * Finds the pins of all objects of that kind, or of one. 0, or -errno if memory
 * or descriptors run out; without /proc it finds none. -ECANCELED: *stopped
 * became true.
 */
int pins_find(struct pins *pins, const struct resource_kind *kind,
	      const atomic_bool *stopped);
int pins_find_of(struct pins *pins, const struct resource *resource,
		 const atomic_bool *stopped);
void pins_free(struct pins *pins);

/* The pins of one object: the first of *count in a row, or NULL. */
const struct pin *pins_of(const struct pins *pins, uint32_t id, size_t *count);

/*
 * 1 if there are at least max pins, of any kind, below the folder open as root,
 * or in all bpf file systems if root is -1; otherwise 0 or -errno. Opens none
 * of them, and stops counting at max, which must not be 0.
 */
int pins_reach(int root, uint32_t max);

#endif
