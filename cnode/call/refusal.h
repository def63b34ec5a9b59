/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REFUSAL_H
#define REFUSAL_H

#include "call/call.h"

/* Why a well-formed request is refused. */
enum refusal {
	REFUSAL_MAY_ONLY_READ,
	REFUSAL_NOT_ITS_OWN,
	REFUSAL_OUTSIDE_PIN_ROOT,
	REFUSAL_OUTSIDE_FILE_ROOT,
	REFUSAL_NO_CGROUP,
};

/*
 * Raises eacces, and logs the caller, the function and the path; if path is
 * NULL, the map that the arguments name. Always false.
 */
bool refusal_raise(struct call *call, enum refusal refusal, const char *path);

#endif
