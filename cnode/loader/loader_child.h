/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LOADER_CHILD_H
#define LOADER_CHILD_H

#include <sys/types.h>

#include "loader/loader_confine.h"
#include "loader/loader_message.h"

/* A request, as the loader has read it. */
struct loader_task {
	const struct loader_options *options;
	const struct loader_confine *confine;
	const struct loader_message *message;
	const struct loader_parcel *parcel; /* the memfd comes first */
	int socket;                         /* for the answer */
	pid_t loader;
};

/* The child that does it, in the process that has just been forked. */
_Noreturn void loader_child_run(const struct loader_task *task);

#endif
