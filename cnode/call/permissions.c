/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Permissions of nodes, from the rules on the command line. Knows neither
 * functions nor connections.
 *
 *	PATTERN=load|rw|ro|none
 *	cert:DNS|URI|email:PATTERN=load|rw|ro|none
 *
 * A pattern is one of fnmatch(3), for the name of a node, or for one in its
 * certificate; the first rule that matches counts. If there are rules, a node
 * that matches none may do nothing. A ? matches one byte.
 */
#include "call/permissions.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "tls/cert_names.h"

#define CERT "cert:"

static const char *const kinds[] = { "DNS", "URI", "email" };

struct permissions_rule {
	const char *kind; /* of a name in a certificate; NULL: a node's name */
	char *pattern;
	enum permission permission;
};

static const char *const permission_names[] = {
	[PERMISSION_NONE] = "none",
	[PERMISSION_READ] = "ro",
	[PERMISSION_WRITE] = "rw",
	[PERMISSION_LOAD] = "load",
};

static bool read_permission(const char *text, enum permission *permission)
{
	for (int i = PERMISSION_NONE; i <= PERMISSION_LOAD; i++) {
		if (strcmp(text, permission_names[i]) == 0) {
			*permission = (enum permission)i;
			return true;
		}
	}
	return false;
}

/* NULL: it is of no kind. Moves *rule behind it. */
static const char *read_kind(const char **rule)
{
	size_t size;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		size = strlen(kinds[i]);
		if (strncmp(*rule, kinds[i], size) == 0 &&
		    (*rule)[size] == ':') {
			*rule += size + 1;
			return kinds[i];
		}
	}
	return NULL;
}

static const char *read_pattern(struct permissions_rule *new, const char *rule,
				const char *end)
{
	if (strncmp(rule, CERT, strlen(CERT)) == 0) {
		rule += strlen(CERT);
		new->kind = read_kind(&rule);
		if (!new->kind)
			return "behind cert: goes DNS:, URI: or email:, and a "
			       "pattern";
		if (rule >= end)
			return "the pattern is missing";
	} else if (rule + strcspn(rule, "@*?[") >= end) {
		/* app=rw should be app@*=rw: it matches no node and locks all
		   out */
		return "a pattern without @ matches no node; write NAME@*";
	}
	new->pattern = strndup(rule, (size_t)(end - rule));
	if (!new->pattern)
		return "out of memory";
	if (!new->kind || cert_names_is_pattern(new->kind, new->pattern))
		return NULL;
	free(new->pattern);
	return "a pattern for DNS has no slash, no dot in brackets, and at "
	       "most 511 bytes";
}

/* Split at the last =: a node name may contain one, a permission does not. */
const char *permissions_add(struct permissions *permissions, const char *rule)
{
	const char *equals = strrchr(rule, '='), *wrong;
	struct permissions_rule new = { .kind = NULL }, *rules;

	if (!equals || equals == rule)
		return "it must be PATTERN=load, PATTERN=rw, PATTERN=ro or "
		       "PATTERN=none";
	if (!read_permission(equals + 1, &new.permission))
		return "after the last = goes load, rw, ro or none";
	wrong = read_pattern(&new, rule, equals);
	if (wrong)
		return wrong;
	rules = realloc(permissions->rules,
			(permissions->count + 1) * sizeof(*rules));
	if (rules)
		permissions->rules = rules;
	if (!rules) {
		free(new.pattern);
		return "out of memory";
	}
	rules[permissions->count++] = new;
	return NULL;
}

/* --- Certificates -------------------------------------------------------- */

/* Whether it is for the names of one host, which a certificate proves. */
static bool is_of_one_host(const char *pattern)
{
	const char *at = strrchr(pattern, '@');

	return at && at[1] && !strpbrk(at, "*?[]\\");
}

static bool refuse(const struct permissions_rule *rule, const char *wrong)
{
	log_error("--allow %s%s%s%s=%s: %s", rule->kind ? CERT : "",
		  rule->kind ? rule->kind : "", rule->kind ? ":" : "",
		  rule->pattern, permission_names[rule->permission], wrong);
	return false;
}

static bool check(const struct permissions *permissions,
		  const struct permissions_rule *rule)
{
	if (rule->kind)
		return permissions->proof != PROOF_NONE ||
		       refuse(rule, "nodes show a certificate only with --tls");
	if (permissions->proof == PROOF_NONE ||
	    rule->permission != PERMISSION_LOAD)
		return true;
	if (permissions->proof != PROOF_HOST)
		return refuse(rule,
			      "with --tls-names any the name of a node is not "
			      "proved, so it may give no load; write "
			      "cert:DNS:PATTERN=load");
	return is_of_one_host(rule->pattern) ||
	       refuse(rule,
		      "with --tls a name may give load only where its host is "
		      "written out, as that is what a certificate proves: "
		      "write NAME@HOST=load, or cert:DNS:PATTERN=load");
}

bool permissions_settle(const struct permissions *permissions)
{
	for (size_t i = 0; i < permissions->count; i++)
		if (!check(permissions, &permissions->rules[i]))
			return false;
	return true;
}

/* --- Nodes --------------------------------------------------------------- */

static bool matches(const struct permissions_rule *rule, const char *node,
		    const struct cert_names *names)
{
	if (rule->kind)
		return names &&
		       cert_names_match(names, rule->kind, rule->pattern);
	return fnmatch(rule->pattern, node, 0) == 0;
}

static enum permission by_rules(const struct permissions *permissions,
				const char *node,
				const struct cert_names *names)
{
	if (permissions->count == 0)
		return PERMISSION_WRITE;
	for (size_t i = 0; i < permissions->count; i++)
		if (matches(&permissions->rules[i], node, names))
			return permissions->rules[i].permission;
	return PERMISSION_NONE;
}

/* Beside nodes with a certificate, one without has proved nothing. */
static enum permission most(const struct permissions *permissions,
			    const struct cert_names *names)
{
	if (permissions->read_only)
		return PERMISSION_READ;
	return permissions->proof != PROOF_NONE && !names ? PERMISSION_WRITE
							  : PERMISSION_LOAD;
}

enum permission permissions_of(const struct permissions *permissions,
			       const char *node, const struct cert_names *names)
{
	enum permission found = by_rules(permissions, node, names),
			limit = most(permissions, names);

	return found < limit ? found : limit;
}

bool permissions_may_load(const struct permissions *permissions)
{
	for (size_t i = 0; i < permissions->count; i++)
		if (permissions->rules[i].permission == PERMISSION_LOAD)
			return !permissions->read_only;
	return false;
}
