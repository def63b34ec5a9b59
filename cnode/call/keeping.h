/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEEPING_H
#define KEEPING_H

#include "bpf/attach.h"
#include "call/call.h"

/*
 * Attachments that are no kernel links, where the kernel has none for them: by
 * a process of the loader, which holds them for as long as we hold its socket.
 */

/* Whether it can be attached that way. */
bool keeping_can(const struct attach_target *target);

/*
 * Attaches call->program. *link stays NULL where {error, _} has been written.
 * False: an exception was raised.
 */
bool keeping_attach(struct call *call, const struct attach_target *target,
		    struct link **link);

/* Detaches, and waits for that. -errno: it may still be attached, which has
 * been logged; but there is nothing more that could be done by its handle. */
int keeping_detach(const struct call *call, const struct link *link);

#endif
