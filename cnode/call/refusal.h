/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REFUSAL_H
#define REFUSAL_H

#include "call/call.h"

/* Why a request is refused that is well made. */
enum refusal {
	REFUSAL_MAY_ONLY_READ,
	REFUSAL_NOT_ITS_OWN,
	REFUSAL_OUTSIDE_PIN_ROOT,
	REFUSAL_OUTSIDE_FILE_ROOT,
	REFUSAL_NO_CGROUP,
};

/*
 * Raises eacces, and logs who was refused what: the function, and the path that
 * is meant, or, for a path of NULL, what the arguments name. Always false.
 */
bool refusal_raise(struct call *call, enum refusal refusal, const char *path);

#endif
