/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RESTORE_H
#define RESTORE_H

#include <stdint.h>

#include "base/exit_status.h"

struct budget;
struct handles;
struct kept_layouts;
struct map_memory;
struct state;

/* What comes back at a start, and of whom. */
struct restore {
	struct state *state; /* loaded */
	struct handles *handles;
	struct map_memory *map_memory;
	struct budget *budget;        /* for the layouts of views */
	const char *node;             /* its name */
	uint32_t creation;            /* of references, if there are none yet */
	int last_fd;                  /* those above are for connections */
	struct kept_layouts *layouts; /* for restore.c alone */
};

/*
 * Makes the handles of the state's records, and has those kept that are made
 * from now on. What cannot be restored is logged and left out. It fails only if
 * another node has kept them, or without memory, which is logged.
 */
enum exit_status restore_all(const struct restore *restore);

/*
 * Logs what the pin at path is of, which is about to be removed. A link is
 * detached by that, unless it has another pin.
 */
void restore_log_forgotten(const char *path, void *context);

#endif
