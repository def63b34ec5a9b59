/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPT_OBJECTS_H
#define KEPT_OBJECTS_H

#include "handles/handles.h"
#include "restore/restore.h"
#include "term/term.h"

/*
 * What is needed to open an object again, beside its pins: a term, which only
 * these two functions know. For struct handles_keeper. 0 or -ENOMEM.
 */
int kept_objects_describe(const struct resource *resource,
			  struct handles_description *description);

/*
 * Opens it. -EBADMSG: the description is none; -EINVAL: what is pinned is
 * another object; or the kernel's -errno.
 */
int kept_objects_open(const struct restore *restore,
		      const struct handles_kept *kept,
		      struct resource **resource);

/* Its kind, or NULL. */
const struct resource_kind *kept_objects_kind(struct term description);

#endif
