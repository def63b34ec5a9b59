/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUZZ_NODE_H
#define FUZZ_NODE_H

#include "handles/handles.h"

#define FUZZ_NODE_MAX_MESSAGE 65536
#define FUZZ_NODE_PATIENCE_MS 20000 /* a longer wait is a finding */

/*
 * Our node, as fuzz_connection.c needs it: serves connections, and checks that
 * they leave nothing behind.
 */
void fuzz_node_start(void);
void fuzz_node_prepare(void);
struct handles *fuzz_node_handles(void);

/* Serves a connection in its own thread; owns fd. */
void fuzz_node_connect(int fd);

/* Waits for all threads since fuzz_node_prepare(), and checks for leaks. */
void fuzz_node_check(void);

#endif
