/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SANDBOX_H
#define SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/exit_status.h"

struct sandbox {
	int pin_root;   /* descriptor of a folder; -1: any bpf file system */
	int netns_root; /* descriptor of a folder; -1: none */
	int keep;       /* the same */
	int cgroups;    /* the same: what is in it may be listed */
	const char *const *folders; /* whose files may be read */
	size_t folder_count;
	uint16_t epmd_port; /* 0: nothing to connect to */
	uint64_t memory;    /* limit of the data segment in bytes; 0: none */
	bool open_by_id;    /* maps may be opened by id */
	bool programs;      /* there is a loader, and programs to attach */
	bool off;           /* drop nothing but capabilities */
};

/*
 * Gives up for good all that serving does not need: capabilities, core dumps,
 * gaining privileges by execve(2), files, ports and system calls. The process
 * must be single-threaded, and not have accepted a peer yet. Errors have been
 * logged.
 */
enum exit_status sandbox_enter(const struct sandbox *sandbox);

#endif
