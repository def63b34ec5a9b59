/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may do what, by the name of a node: rules as they stand on the command
 * line. Knows no functions, and no connections.
 *
 *	PATTERN=rw|ro|none
 *
 * A pattern is one of fnmatch(3), and the first that matches counts. With any
 * rule at all, who matches none of them may do nothing. A name is bytes here,
 * so that ? is one byte of it.
 */
#include "call/permissions.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

struct permissions_rule {
	char *pattern;
	enum permission permission;
};

static bool read_permission(const char *text, enum permission *permission)
{
	static const char *const names[] = {
		[PERMISSION_NONE] = "none",
		[PERMISSION_READ] = "ro",
		[PERMISSION_WRITE] = "rw",
	};

	for (int i = PERMISSION_NONE; i <= PERMISSION_WRITE; i++) {
		if (strcmp(text, names[i]) == 0) {
			*permission = (enum permission)i;
			return true;
		}
	}
	return false;
}

/* By the last =: a name may have one, and a permission has none. */
const char *permissions_add(struct permissions *permissions, const char *rule)
{
	const char *equals = strrchr(rule, '=');
	struct permissions_rule new, *rules;
	size_t length = equals ? (size_t)(equals - rule) : 0;

	if (length == 0)
		return "it is not PATTERN=rw, PATTERN=ro or PATTERN=none";
	if (!read_permission(equals + 1, &new.permission))
		return "what stands after the last = is none of rw, ro, none";
	/* app=rw is meant to be app@*=rw, and would lock out everyone */
	if (strcspn(rule, "@*?[") >= length)
		return "a pattern without @ is no node's name; write NAME@*";
	new.pattern = strndup(rule, length);
	rules = realloc(permissions->rules,
			(permissions->count + 1) * sizeof(*rules));
	if (rules)
		permissions->rules = rules;
	if (!rules || !new.pattern) {
		free(new.pattern);
		return "there is no memory";
	}
	rules[permissions->count++] = new;
	return NULL;
}

static enum permission by_rules(const struct permissions *permissions,
				const char *node)
{
	if (permissions->count == 0)
		return PERMISSION_WRITE;
	for (size_t i = 0; i < permissions->count; i++)
		if (fnmatch(permissions->rules[i].pattern, node, 0) == 0)
			return permissions->rules[i].permission;
	return PERMISSION_NONE;
}

enum permission permissions_of(const struct permissions *permissions,
			       const char *node)
{
	enum permission permission = by_rules(permissions, node);

	return permissions->read_only && permission > PERMISSION_READ
		       ? PERMISSION_READ
		       : permission;
}
