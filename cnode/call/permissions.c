/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Permissions of nodes, by name, from the rules on the command line. Knows
 * neither functions nor connections.
 *
 *	PATTERN=load|rw|ro|none
 *
 * A pattern is one of fnmatch(3); the first rule that matches counts. If there
 * are rules, a node that matches none may do nothing. A ? matches one byte.
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
		[PERMISSION_LOAD] = "load",
	};

	for (int i = PERMISSION_NONE; i <= PERMISSION_LOAD; i++) {
		if (strcmp(text, names[i]) == 0) {
			*permission = (enum permission)i;
			return true;
		}
	}
	return false;
}

/* Split at the last =: a node name may contain one, a permission does not. */
const char *permissions_add(struct permissions *permissions, const char *rule)
{
	const char *equals = strrchr(rule, '=');
	struct permissions_rule new, *rules;
	size_t length = equals ? (size_t)(equals - rule) : 0;

	if (length == 0)
		return "it must be PATTERN=load, PATTERN=rw, PATTERN=ro or "
		       "PATTERN=none";
	if (!read_permission(equals + 1, &new.permission))
		return "after the last = goes load, rw, ro or none";
	/* app=rw should be app@*=rw: it matches no node and locks all out */
	if (strcspn(rule, "@*?[") >= length)
		return "a pattern without @ matches no node; write NAME@*";
	new.pattern = strndup(rule, length);
	rules = realloc(permissions->rules,
			(permissions->count + 1) * sizeof(*rules));
	if (rules)
		permissions->rules = rules;
	if (!rules || !new.pattern) {
		free(new.pattern);
		return "out of memory";
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

bool permissions_may_load(const struct permissions *permissions)
{
	for (size_t i = 0; i < permissions->count; i++)
		if (permissions->rules[i].permission == PERMISSION_LOAD)
			return !permissions->read_only;
	return false;
}
