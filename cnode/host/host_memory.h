/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HOST_MEMORY_H
#define HOST_MEMORY_H

#include <stdint.h>

struct host_memory {
	uint64_t host;   /* bytes */
	uint64_t cgroup; /* bytes; UINT64_MAX: no limit */
};

/* To be called before the sandbox is entered. */
void host_memory_read(struct host_memory *memory);

#endif
