/* SPDX-License-Identifier: Apache-2.0 */
/* Pins of objects of any kind, below --pin-root and within --max-pins. */
#include "call/pinning.h"

#include <errno.h>

#include "call/refusal.h"
#include "handles/audit.h"
#include "host/pin_path.h"
#include "limits/map_memory.h"
#include "limits/pin_limit.h"

struct pinning {
	const char *event;
	int (*operate)(const struct call_context *context,
		       struct resource *resource, const struct pin_path *path);
};

static int pin(const struct call_context *context, struct resource *resource,
	       const struct pin_path *path)
{
	struct map *map = map_of(resource);

	if (map)
		map_memory_will_be_pinned(map);
	return pin_limit_pin(&context->common->pin_limit,
			     &context->common->pin_root, resource, path,
			     context->peer);
}

static int unpin(const struct call_context *context, struct resource *resource,
		 const struct pin_path *path)
{
	return pin_limit_unpin(&context->common->pin_limit, resource, path);
}

static void audit_pin(const char *event, const struct resource *resource,
		      const struct pin_path *path, const char *text)
{
	char real[PATH_MAX];
	struct audit audit = {
		.event = event,
		.handle = AUDIT_NO_HANDLE,
		.path = pin_path_real(path, real) ? real : text,
	};

	audit_resource(audit, resource);
}

bool pinning_refused(struct call *call, const struct pin_path *path,
		     const char *text, int error)
{
	if (error != -EACCES ||
	    (!path->is_hidden && !call->context->common->pin_root.path))
		return false;
	return !refusal_raise(
		call, path->is_hidden ? REFUSAL_KEPT : REFUSAL_OUTSIDE_PIN_ROOT,
		text);
}

static bool operate(struct call *call, const char *text,
		    struct resource *resource, const struct pinning *pinning,
		    int *error)
{
	const struct root *root = &call->context->common->pin_root;
	struct pin_path path;

	*error = pin_path_open_folder(&path, root, text);
	if (pinning_refused(call, &path, text, *error))
		return false;
	if (*error == 0)
		*error = pinning->operate(call->context, resource, &path);
	if (*error == 0 && audit_is_on())
		audit_pin(pinning->event, resource, &path, text);
	pin_path_close(&path);
	return true;
}

static const struct pinning pinned = { "pinned", pin };
static const struct pinning unpinned = { "unpinned", unpin };

bool pinning_pin_at(struct call *call, const char *path,
		    struct resource *resource, int *error)
{
	return operate(call, path, resource, &pinned, error);
}

bool pinning_unpin_at(struct call *call, const char *path,
		      struct resource *resource, int *error)
{
	return operate(call, path, resource, &unpinned, error);
}

static bool operate_on_term(struct call *call, struct term t,
			    struct resource *resource,
			    const struct pinning *pinning)
{
	char path[PATH_MAX];
	int error;

	return call_read_path(call, t, path) &&
	       operate(call, path, resource, pinning, &error) &&
	       call_write_ok(call, error);
}

bool pinning_pin(struct call *call, struct term path, struct resource *resource)
{
	return operate_on_term(call, path, resource, &pinned);
}

bool pinning_unpin(struct call *call, struct term path,
		   struct resource *resource)
{
	return operate_on_term(call, path, resource, &unpinned);
}
