/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUZZ_NODE_H
#define FUZZ_NODE_H

#include "handles/handles.h"

#define FUZZ_NODE_MAX_MESSAGE 65536
#define FUZZ_NODE_PATIENCE_MS 20000 /* until a wait is a finding */

/*
 * Our node as fuzz_connection.c has it: what connections are served by, and
 * what they must not leave.
 */
void fuzz_node_start(void);
void fuzz_node_prepare(void);
struct handles *fuzz_node_handles(void);

/* Serves a connection in a thread of its own, and owns fd. */
void fuzz_node_connect(int fd);

/* Waits for the threads since fuzz_node_prepare(); nothing of them is left. */
void fuzz_node_check(void);

#endif
