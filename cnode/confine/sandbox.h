/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SANDBOX_H
#define SANDBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/exit_status.h"

struct sandbox {
	int pin_root; /* descriptor of a folder; -1: any bpf file system */
	uint16_t epmd_port;
	uint64_t memory; /* bytes that the process may have; 0: any */
	bool open_by_id; /* maps may be opened by their ids */
	bool off;        /* only capabilities are given up */
};

/*
 * What is needed to serve is kept, all else is given up for good: capabilities,
 * then core dumps, what programs could gain, files, ports and system calls. For
 * a process of one thread, between its start and the first peer. What goes
 * wrong has been logged.
 */
enum exit_status sandbox_enter(const struct sandbox *sandbox);

#endif
