/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LOADER_PROCESS_H
#define LOADER_PROCESS_H

#include <sys/types.h>

#include "loader/loader.h"

/*
 * The loader, in the process that has just been forked: ends are its ends of
 * the slots, options->max_loads of them; it ends when the node does.
 */
_Noreturn void loader_process_run(const struct loader_options *options,
				  const int *ends, pid_t node);

#endif
