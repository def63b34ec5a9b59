/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TARGETS_H
#define TARGETS_H

#include "bpf/attach.h"
#include "call/call.h"

/*
 * Reads where a program is to be attached. What the term names stays open until
 * the call ends. *error: -errno of something that is not there. False: an
 * exception was raised.
 */
bool targets_read(struct call *call, struct term t,
		  const struct program *program, struct attach_target *target,
		  int *error);

#define TARGETS_TEXT_SIZE (PATH_MAX + 32)

/* In words, for the log: "xdp 3 generic", "cgroup /sys/fs/cgroup/x". */
void targets_describe(const struct call *call,
		      const struct attach_target *target,
		      char text[TARGETS_TEXT_SIZE]);

/*
 * Writes what a link keeps of its target: the term, or that of an `auto' as a
 * caller would have written it.
 */
void targets_write(const struct call *call, struct term_writer *w,
		   struct term t, const struct attach_target *target);

#endif
