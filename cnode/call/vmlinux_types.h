/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMLINUX_TYPES_H
#define VMLINUX_TYPES_H

#include "call/call.h"

struct plan;

/* Whether the layout is {vmlinux, Name}, and Name. */
bool vmlinux_types_named(struct term layout, struct term *name);

/*
 * The plan of the type of the kernel of that name. size and *error as for
 * btf_read(), or *error is VIEWS_NOTYPE; of -EINVAL badarg was raised. False:
 * an exception was raised, eacces without --vmlinux-types.
 */
bool vmlinux_types_read(struct call *call, struct term name, uint32_t size,
			struct plan **plan, int *error);

#endif
