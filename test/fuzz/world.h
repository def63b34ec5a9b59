/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WORLD_H
#define WORLD_H

#include <ei.h>

#include "handles/handles.h"
#include "host/root.h"

/*
 * What the fuzzers of requests work on: a node, maps of all types in the real
 * kernel, and a fence around them, so that nothing else of the host is reached
 * or filled up: small maps only, no map by an id but of this process, and a
 * bpf file system of its own.
 */

/* The names that stand in the seeds. */
#define WORLD_NODE "ebpf@localhost"
#define WORLD_PEER "peer@localhost"
#define WORLD_COOKIE "cookie"
#define WORLD_FILES "/sys/fs/bpf/files"
#define WORLD_MAPS_MAX 64

extern struct root world_files;

/* Ends the process where it cannot be: not root, or no eBPF. */
void world_init(void);

/* Makes the maps, anew where there are some. */
void world_make_maps(void);
/* How many; a handle for each, which owner holds. */
unsigned world_maps(void);
void world_hold_maps(struct handles *handles, struct handles_owner *owner);
/* Nothing but the world holds them. */
void world_check_released(void);

/*
 * Handles in the input: the first word of a reference of WORLD_NODE is the
 * number of a live handle, which takes its place; beyond 2^31 it stays.
 */
void world_put_handles(struct handles *handles, char *bytes, size_t size);

/* Whole packets, each of which is well formed. */
void world_check_packets(const char *bytes, size_t size);

/* The lowest descriptor that is free: it is higher after a leak. */
int world_free_fd(void);

#endif
