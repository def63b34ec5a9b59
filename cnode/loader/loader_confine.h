/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LOADER_CONFINE_H
#define LOADER_CONFINE_H

#include <stdbool.h>
#include <stdint.h>

#include "loader/loader.h"

/* The rules for files of each job, made by the loader; -1: no Landlock. */
struct loader_confine {
	uint32_t words;
	bool no_sandbox;
	int rules[LOADER_JOBS];
	int lock; /* a file, for fcntl(2): shared by all keepers */
};

/*
 * Confines the loader itself: user, capabilities, files, system calls. False:
 * errors have been logged.
 */
bool loader_confine_self(struct loader_confine *confine,
			 const struct loader_options *options);

/* The same for a child, in it, by its job. 0 or -errno. */
int loader_confine_child(const struct loader_confine *confine,
			 enum loader_job job);

/* Closes all descriptors from 3 on but these, and sorts them. */
void loader_confine_fds(int *keep, unsigned count);

#endif
