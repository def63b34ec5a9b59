/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSTRUCTIONS_H
#define INSTRUCTIONS_H

#include "call/load_options.h"

#define INSTRUCTIONS_MAX 1000000u /* of a program, for the kernel */

/*
 * Reads the instructions of load/3 into a buffer of the call, for the request
 * of options, with places among its maps instead of descriptors. Raises badarg
 * for any other reference. *error: -E2BIG for more than the kernel takes.
 */
bool instructions_read(struct call *call, struct term t,
		       struct load_options *options, int *error);

#endif
