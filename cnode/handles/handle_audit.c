/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Audit events of handles that begin and end. The owner is known only under
 * the lock, but logging waits until it is released: so the owner is recorded
 * first, if the audit trail is on.
 */
#include <stdlib.h>
#include <string.h>

#include "handles/audit.h"
#include "handles/handles_internal.h"

struct handle_ending {
	const char *reason;
	uint32_t holders;
	char owner[];
};

static const char *lifetime(const struct handle *handle)
{
	return handle->shared ? "shared" : handles_lifetimes[handle->lifetime];
}

void handle_audit_begins(const char *event, const struct handle *handle,
			 const struct handles_owner *owner)
{
	struct audit audit = {
		.event = event,
		.handle = handle->slot,
		.lifetime = lifetime(handle),
		.owner = owner->holder->node,
	};

	audit_resource(audit, handle->resource);
}

/* The oldest holder, or the creator of a permanent handle. */
static const char *owner_of(const struct handle *handle, uint32_t *holders)
{
	const struct holding *holding = LIST_FIRST(&handle->holdings), *next;

	*holders = 0;
	if (!holding)
		return handle->creator ? handle->creator->node : "";
	for (; (next = LIST_NEXT(holding, of_handle)); holding = next)
		++*holders;
	*holders += *holders > 0;
	return holding->owner->holder->node;
}

void handle_audit_note_end(struct handle *handle, const char *reason)
{
	struct handle_ending *ending;
	const char *owner;
	uint32_t holders;
	size_t size;

	if (!audit_is_on())
		return;
	owner = owner_of(handle, &holders);
	size = strlen(owner) + 1;
	ending = malloc(sizeof(*ending) + size);
	if (!ending)
		return;
	ending->reason = reason;
	ending->holders = holders;
	memcpy(ending->owner, owner, size);
	handle->ending = ending;
}

void handle_audit_ends(struct handle *handle, const char *event)
{
	const struct handle_ending *ending = handle->ending;
	struct audit audit = {
		.event = event,
		.handle = handle->slot,
		.lifetime = lifetime(handle),
	};

	if (ending) {
		audit.reason = ending->reason;
		audit.holders = ending->holders;
		audit.owner = ending->owner[0] ? ending->owner : NULL;
	}
	if (event)
		audit_resource(audit, handle->resource);
	free(handle->ending);
}
