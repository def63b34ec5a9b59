/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RESOURCE_PIN_H
#define RESOURCE_PIN_H

#include "bpf/resource.h"

/* Pins in a bpf file system, of objects of any kind. 0 or -errno. */
int resource_pin(const struct resource *resource, const char *path);

/* -EINVAL: another object is pinned there. */
int resource_unpin(const struct resource *resource, const char *path);

/*
 * The id of the object pinned at path, which is not kept open. -EINVAL if it is
 * of another kind, or only is not 0 and it has another id.
 */
int resource_pinned_id(const struct resource_kind *kind, const char *path,
		       uint32_t only, uint32_t *id);

#endif
