/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REFUSAL_H
#define REFUSAL_H

#include "call/call.h"

/* Why a well-formed request is refused. */
enum refusal {
	REFUSAL_MAY_ONLY_READ,
	REFUSAL_NOT_ITS_OWN,
	REFUSAL_OUTSIDE_PIN_ROOT,
	REFUSAL_KEPT,
	REFUSAL_OUTSIDE_FILE_ROOT,
	REFUSAL_NO_CGROUP,
	REFUSAL_NO_PROGRAMS,
	REFUSAL_MAY_NOT_LOAD,
	REFUSAL_NOT_LOADED_BY_IT,
	REFUSAL_PROGRAM_TYPE,
	REFUSAL_RESTRICTED_MAP,
	REFUSAL_OUTSIDE_NETNS_ROOT,
	REFUSAL_NO_VMLINUX_TYPES,
	REFUSAL_FOREIGN_RING,
};

/*
 * Raises eacces, and logs the caller, the function and the path, or the name of
 * a program, map or type; if that is NULL or empty, the object that the
 * arguments name. Always false.
 */
bool refusal_raise(struct call *call, enum refusal refusal, const char *path);

#endif
