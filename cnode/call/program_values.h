/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROGRAM_VALUES_H
#define PROGRAM_VALUES_H

#include "call/call.h"

/*
 * Programs as values of call->map. As in call.h, a bool function that reads a
 * term and returns false has set an exception.
 */

/* struct bpf_devmap_val, struct bpf_cpumap_val */
struct program_values_numbered {
	uint32_t number;
	uint32_t program; /* a descriptor, or an id; 0: none */
};

/* The most bytes in an answer of a value that has a program. */
#define PROGRAM_VALUES_SIZE 32

/* Whether the map takes programs, or a number and a program. */
static inline bool program_values_may_be(const struct map *map)
{
	return map->traits & MAP_VALUE_IS_PROGRAM ||
	       (map->traits & MAP_VALUE_HAS_FD &&
		map->value_size == sizeof(struct program_values_numbered));
}

/* The rest is for such maps. Whether t has the shape of a value with one. */
bool program_values_is(const struct map *map, struct term t);

/*
 * Lays such a value out in a buffer of the map's value size; its program stays
 * open until the next one is read or the call ends. A caller that may not load
 * programs is refused, which is logged.
 */
bool program_values_read(struct call *call, struct term t, char *buffer);

/* Writes a value that was read; false: it is to be told as plain bytes. */
bool program_values_write(struct call *call, const char *bytes);

#endif
