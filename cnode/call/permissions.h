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

struct cert_names;
struct permissions_rule; /* lives as long as the process */

/* What the names of nodes are worth. */
enum permissions_proof {
	PROOF_NONE, /* a name is a claim; there is no TLS */
	PROOF_CERT, /* so it is, but certificates are proved */
	PROOF_HOST, /* the part after the @ is proved as well */
};

/* All zero: every node may write. */
struct permissions {
	struct permissions_rule *rules;
	size_t count;
	bool read_only; /* overrides the rules */
	enum permissions_proof proof;
};

/*
 * Appends a rule PATTERN=load|rw|ro|none, or cert:KIND:PATTERN=... NULL, or the
 * text of an error.
 */
const char *permissions_add(struct permissions *permissions, const char *rule);

/*
 * Once all rules and the proof are known. False: a rule gives what is not
 * proved, which has been logged.
 */
bool permissions_settle(const struct permissions *permissions);

/*
 * By the first rule that matches the name of the node, or one in its verified
 * certificate; names is NULL where it has shown none.
 */
enum permission permissions_of(const struct permissions *permissions,
			       const char *node,
			       const struct cert_names *names);

/* Whether some node may load programs. */
bool permissions_may_load(const struct permissions *permissions);

#endif
