/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUDIT_H
#define AUDIT_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/resource.h"

#define AUDIT_NO_HANDLE UINT32_MAX

/* An event of the audit trail. Fields that are NULL or 0 are left out. */
struct audit {
	const char *event; /* a fixed word */
	const char *kind;  /* of the object: "map" */
	uint32_t id;
	const char *type;
	const char *name;
	const char *access; /* NULL: both read and write */
	uint32_t program;   /* of a link: an id */
	const char *target; /* of a link */
	uint32_t handle;    /* its slot, or AUDIT_NO_HANDLE */
	const char *lifetime;
	const char *owner;
	uint32_t holders; /* if more than the owner */
	const char *reason;
	const char *path;
};

/* False: nothing is logged, so callers need not collect the fields. */
bool audit_is_on(void);

/* Logs a line at level info. */
void audit_log(const struct audit *audit);

/* The same, for an open resource: fills in kind, id, type, name, access. */
void audit_resource(struct audit audit, const struct resource *resource);

#endif
