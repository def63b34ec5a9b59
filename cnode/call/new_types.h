/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NEW_TYPES_H
#define NEW_TYPES_H

#include "bpf/map.h"
#include "types/types.h"

/*
 * Loads a BTF of these plans for the map that is to be made of spec, so that
 * other tools see its types, too. Where the kernel does not take it, spec is
 * left without. Close it once the map is made.
 */
void new_types_load(const struct types_plans *plans, struct map_spec *spec);
void new_types_close(struct map_spec *spec);

#endif
