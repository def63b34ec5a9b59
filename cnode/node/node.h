/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NODE_H
#define NODE_H

#include "base/exit_status.h"
#include "node/options.h"

/*
 * Runs the node until a signal or the end of standard input, if that was asked
 * for, ends it. What keeps it from starting has been logged.
 */
enum exit_status node_run(const struct options *options);

#endif
