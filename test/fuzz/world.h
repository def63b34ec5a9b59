/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WORLD_H
#define WORLD_H

#include <ei.h>

#include "handles/handles.h"
#include "host/root.h"

/*
 * The world of the fuzzers of requests: a node, maps of all types in the real
 * kernel, and a fence that keeps the rest of the host out of reach: small maps
 * only, only ids of this process's own maps, and a bpf file system of its own.
 */

/* Names in the seeds. */
#define WORLD_NODE "ebpf@localhost"
#define WORLD_PEER "peer@localhost"
#define WORLD_COOKIE "cookie"
#define WORLD_FILES "/sys/fs/bpf/files"
#define WORLD_MAPS_MAX 64

extern struct root world_files;

/* Exits if that is impossible: not root, or no eBPF. */
void world_init(void);

/* Creates the maps, in place of earlier ones. */
void world_make_maps(void);
/* Creates a handle for each map, for owner; returns how many. */
unsigned world_maps(void);
void world_hold_maps(struct handles *handles, struct handles_owner *owner);
/* Checks that only the world holds the maps. */
void world_check_released(void);

/*
 * Handles in the input: if the first word of a reference of WORLD_NODE is below
 * 2^31, replaces the reference by the live handle of that number.
 */
void world_put_handles(struct handles *handles, char *bytes, size_t size);

/* Checks that these are whole, well-formed packets. */
void world_check_packets(const char *bytes, size_t size);

/* The lowest free descriptor: higher after a leak. */
int world_free_fd(void);

#endif
