/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PATIENCE_H
#define PATIENCE_H

#include <stdbool.h>

#define PATIENCE_MS 1000 /* before a wait is logged */

/*
 * Waits until fd is readable or at its end, for at most most_ms; -1: without a
 * limit. After PATIENCE_MS it logs that it waits for what. False: timed out.
 */
bool patience_readable(int fd, int most_ms, const char *what);

#endif
