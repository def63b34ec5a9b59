/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EPMD_H
#define EPMD_H

#include <ei.h>
#include <stdint.h>

#include "base/exit_status.h"

/* The port of the epmd of this host; 0: ERL_EPMD_PORT is none. */
uint16_t epmd_port(void);

/* To come first, with our own port. Anything but STATUS_OK has been logged. */
enum exit_status epmd_check_port(uint32_t own);

/* Starts an epmd if there is none. Anything but STATUS_OK has been logged. */
enum exit_status epmd_start(void);

/*
 * Publishes the node's name and port with epmd, and keeps it published in a
 * thread of its own: a new epmd is told within seconds. Anything but STATUS_OK
 * has been logged. node must live as long as the process. Once in a process.
 */
enum exit_status epmd_publish(ei_cnode *node, int port);

/* Takes the name back. */
void epmd_unpublish(void);

#endif
