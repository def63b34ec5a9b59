/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAP_RULES_H
#define MAP_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/map.h"

#define MAP_RULES_TEXT_SIZE 256

/* Adds the flags that go without saying: no others fit the type. */
void map_rules_complete(struct map_spec *spec);

/*
 * Visits a text for all that is known to be wrong with a map that is to be
 * made; returns how many. What is right may still be refused: there are things
 * that only the kernel knows. name_is_valid is false for a name that found no
 * room in spec.
 */
typedef void (*map_rules_visitor)(const char *text, void *context);

unsigned map_rules_check(const struct map_spec *spec, bool name_is_valid,
			 map_rules_visitor visit, void *context);

/* The flags that have a name, by row; false past the last one. */
struct map_rules_flag {
	const char *name;
	uint32_t flag;
};

bool map_rules_flag(size_t row, struct map_rules_flag *flag);

#endif
