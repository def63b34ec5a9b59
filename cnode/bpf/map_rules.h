/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAP_RULES_H
#define MAP_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/map.h"

#define MAP_RULES_TEXT_SIZE 256

/* Adds the flags that the type requires. */
void map_rules_complete(struct map_spec *spec);

/*
 * Calls visit with a text for each known fault of a map to be created; returns
 * how many. The kernel may still refuse a map without faults. name_is_valid is
 * false if the name does not fit into spec.
 */
typedef void (*map_rules_visitor)(const char *text, void *context);

unsigned map_rules_check(const struct map_spec *spec, bool name_is_valid,
			 map_rules_visitor visit, void *context);

/* The named flags, by row; false past the last one. */
struct map_rules_flag {
	const char *name;
	uint32_t flag;
};

bool map_rules_flag(size_t row, struct map_rules_flag *flag);

#endif
