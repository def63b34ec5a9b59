/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PERMISSIONS_H
#define PERMISSIONS_H

#include <stdbool.h>
#include <stddef.h>

/* Each includes those before it. */
enum permission {
	PERMISSION_NONE,
	PERMISSION_READ,
	PERMISSION_WRITE,
	PERMISSION_LOAD, /* programs and links: see --programs */
};

struct permissions_rule; /* lives as long as the process */

/* All zero: every node may write. */
struct permissions {
	struct permissions_rule *rules;
	size_t count;
	bool read_only; /* overrides the rules */
};

/* Appends a rule PATTERN=load|rw|ro|none. NULL, or the text of an error. */
const char *permissions_add(struct permissions *permissions, const char *rule);

/* By the first rule that matches the name of the node. */
enum permission permissions_of(const struct permissions *permissions,
			       const char *node);

/* Whether some node may load programs. */
bool permissions_may_load(const struct permissions *permissions);

#endif
