/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LOCATORS_H
#define LOCATORS_H

#include "call/call.h"

/*
 * A map named without a handle:
 *
 *	locator() = {id, Id} | {name, Name} | {pinned, Path}
 */

/* A pair with one of these tags; the second element may still be wrong. */
bool locators_is(struct term t);

/*
 * Opens the map, with flags as for map_open_id(). Raises badarg for a term that
 * is no locator, eacces for a path outside --pin-root, eperm if this process
 * may not open maps by id. Otherwise *error is 0, with a map for the caller to
 * map_unref(), or -errno, or LOCATORS_AMBIGUOUS.
 */
#define LOCATORS_AMBIGUOUS 1 /* several maps have that name */

bool locators_open(struct call *call, struct term t, uint32_t flags,
		   struct map **map, int *error);

/* The same for the path of a pin that has been read. */
bool locators_open_pinned(struct call *call, const char *path, uint32_t flags,
			  struct map **map, int *error);

/* locators_open() with every error raised. */
bool locators_read(struct call *call, struct term t, uint32_t flags,
		   struct map **map);

#endif
