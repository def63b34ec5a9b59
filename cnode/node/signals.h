/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SIGNALS_H
#define SIGNALS_H

#include <stdbool.h>
#include <stdint.h>

/*
 * From here on only the signals that are meant to can end or stop this process,
 * even while it starts. To be called before anything is logged.
 */
void signals_begin(void);

/*
 * Returns a signalfd of the signals that are served, or -1 with errno. Threads
 * started from here on leave them to it. reload: SIGHUP is one of these, and
 * does not end the node.
 */
int signals_open(bool reload);

/* Whether a signal ends the node. */
bool signals_ends(uint32_t number);

#endif
