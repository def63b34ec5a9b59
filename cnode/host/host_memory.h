/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HOST_MEMORY_H
#define HOST_MEMORY_H

#include <stdint.h>

/* How much memory there is. */
struct host_memory {
	uint64_t host;   /* bytes */
	uint64_t cgroup; /* the least limit of ours and those above; or
			    UINT64_MAX */
};

/* To be called before files are out of reach. */
void host_memory_read(struct host_memory *memory);

#endif
