/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PERMISSIONS_H
#define PERMISSIONS_H

#include <stdbool.h>
#include <stddef.h>

/* What a node may do; each includes those before it. */
enum permission {
	PERMISSION_NONE,
	PERMISSION_READ,
	PERMISSION_WRITE,
};

struct permissions_rule; /* never freed: as the command line */

/* Who may do what. All zero: everyone may write. */
struct permissions {
	struct permissions_rule *rules;
	size_t count;
	bool read_only; /* for everyone, whatever the rules say */
};

/*
 * Adds a rule PATTERN=rw|ro|none behind those that are there. NULL, or what is
 * wrong with it.
 */
const char *permissions_add(struct permissions *permissions, const char *rule);

/* Of a node, by its name: the first rule whose pattern is its name's. */
enum permission permissions_of(const struct permissions *permissions,
			       const char *node);

#endif
