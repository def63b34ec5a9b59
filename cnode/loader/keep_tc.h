/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEEP_TC_H
#define KEEP_TC_H

#include <stdint.h>

#include "bpf/attach.h"

/* A filter of traffic control, as keep_tc_attach() made it. */
struct keep_tc {
	uint32_t ifindex;
	bool egress;
	uint32_t priority;
	uint32_t handle;
	uint32_t program_id;
};

/*
 * A program as a filter of the interface's clsact, which is made if there is
 * none. One of these at a time, of all keepers. 0 or -errno: -EBUSY where a
 * qdisc of another kind is in the way, -ENOSPC where no priority is left before
 * (or behind) all others.
 */
int keep_tc_attach(int program_fd, const struct attach_target *target,
		   struct keep_tc *tc);

/*
 * Removes that filter, and no other one; and the clsact, if we made it and it
 * holds no more filters. What is gone already is no error.
 */
int keep_tc_detach(const struct keep_tc *tc);

#endif
