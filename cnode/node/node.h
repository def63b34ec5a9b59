/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NODE_H
#define NODE_H

#include "base/exit_status.h"
#include "node/options.h"

/*
 * Runs the node until a signal ends it, or with --until-eof the end of standard
 * input. An error that keeps it from starting has been logged.
 */
enum exit_status node_run(const struct options *options);

#endif
