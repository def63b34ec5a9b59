/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NAMED_H
#define NAMED_H

#include "call/call.h"

/*
 * What keys and values name on this host. As in call.h, a bool function that
 * returns false has set an exception.
 */

/* Sets call->key_fd to what a key of call->map names. */
bool named_open_key(struct call *call, struct term t);

/* Keeps the descriptor of {cgroup, Path} in place of the previous one. */
bool named_open_cgroup(struct call *call, struct term t, int *kept);

/* The index of {ifname, Name}; *named: t is such a term. */
bool named_read_interface(struct call *call, struct term t, uint32_t *index,
			  bool *named);

#endif
