/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LOCATORS_H
#define LOCATORS_H

#include "call/call.h"

/*
 * Where a map is that has no handle, or none that can be typed:
 *
 *	locator() = {id, Id} | {name, Name} | {pinned, Path}
 */

/* A pair of one of these tags; what stands behind it may be wrong. */
bool locators_is(struct term t);

/*
 * Opens the map with flags as those of map_open_id(). False: badarg is raised
 * for what is no locator, eacces for a path that is not below --pin-root, eperm
 * where ids are not for this process. Else *error is 0, with the map for the
 * caller to map_unref(), or -errno, or LOCATORS_AMBIGUOUS.
 */
#define LOCATORS_AMBIGUOUS 1 /* several maps have that name */

bool locators_open(struct call *call, struct term t, uint32_t flags,
		   struct map **map, int *error);

/* The same for a call that needs the map: whatever is wrong is raised. */
bool locators_read(struct call *call, struct term t, uint32_t flags,
		   struct map **map);

#endif
