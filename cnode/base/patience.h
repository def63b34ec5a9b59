/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PATIENCE_H
#define PATIENCE_H

#include <stdbool.h>

#define PATIENCE_MS 1000 /* of silence; then it is said what is waited for */

/*
 * Waits until fd can be read, or has ended; for most_ms, -1 for as long as it
 * takes. Where that is more than a second, it logs what it waits for. False:
 * the time is over.
 */
bool patience_readable(int fd, int most_ms, const char *what);

#endif
