/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SIGNALS_H
#define SIGNALS_H

#include <stdbool.h>
#include <stdint.h>

/*
 * From here on no signal ends or stops this process that is not meant to, also
 * while it starts. To be called before anything is logged.
 */
void signals_begin(void);

/*
 * From here on a descriptor, or -1 with errno, tells of those that are served;
 * threads to come inherit that.
 */
int signals_open(void);

/* Whether it is one that ends the node. */
bool signals_ends(uint32_t number);

#endif
