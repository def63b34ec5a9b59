/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUDIT_H
#define AUDIT_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/resource.h"

#define AUDIT_NO_HANDLE UINT32_MAX

/* An event of the audit trail. What is NULL or 0 is not told, but of handle. */
struct audit {
	const char *event; /* a word that stays as it is */
	const char *kind;  /* of the object: "map" */
	uint32_t id;
	const char *type;
	const char *name;
	const char *access; /* of a handle that cannot read and write */
	uint32_t handle;    /* its slot, which is no secret */
	const char *lifetime;
	const char *owner;
	uint32_t holders; /* where they are more than that owner */
	const char *reason;
	const char *path;
};

/* Whether there is a trail: what events need is not found out for nothing. */
bool audit_is_on(void);

/* A line of level info that tells who did what to which object. */
void audit_log(const struct audit *audit);

/* The same, about an open resource. */
void audit_resource(struct audit audit, const struct resource *resource);

#endif
