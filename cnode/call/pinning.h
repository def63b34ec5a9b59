/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PINNING_H
#define PINNING_H

#include "call/call.h"

/*
 * Pin an open object, of any kind, at the path in a term, or remove such a pin;
 * write ok or {error, Posix}. False: badarg, or eacces outside --pin-root.
 */
bool pinning_pin(struct call *call, struct term path,
		 struct resource *resource);
bool pinning_unpin(struct call *call, struct term path,
		   struct resource *resource);

/*
 * Pin at, or remove a pin from, a path that has been read; *error is 0 or
 * -errno.
 */
bool pinning_pin_at(struct call *call, const char *path,
		    struct resource *resource, int *error);
bool pinning_unpin_at(struct call *call, const char *path,
		      struct resource *resource, int *error);

struct pin_path;

/*
 * Whether error, of opening path, is a refusal, which is raised: that it is
 * outside --pin-root, or in the folder of --keep.
 */
bool pinning_refused(struct call *call, const struct pin_path *path,
		     const char *text, int error);

#endif
