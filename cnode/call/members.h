/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MEMBERS_H
#define MEMBERS_H

#include "call/call.h"
#include "types/member.h"

/* What a function on one member of all values needs. */
struct members {
	struct member member;
	struct fold fold;
};

/*
 * Sets call->map, which gets the types that the kernel has of it if t is a
 * locator, and finds the number in its values that the term named names.
 * Raises notype; {badmember, Path}; unfolded for values of several CPUs.
 */
bool members_read(struct call *call, struct term t, struct term named,
		  struct members *members);

#endif
