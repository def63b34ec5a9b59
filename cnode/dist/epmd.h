/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EPMD_H
#define EPMD_H

#include <ei.h>
#include <stdint.h>

#include "base/exit_status.h"

/* The port of this host's epmd; 0: ERL_EPMD_PORT is not a port. */
uint16_t epmd_port(void);

/* To be called first, with our own port. A failure has been logged. */
enum exit_status epmd_check_port(uint32_t own);

/* Starts an epmd if none is running. A failure has been logged. */
enum exit_status epmd_start(void);

/*
 * Registers the node's name and port with epmd, and keeps them registered by a
 * thread: a restarted epmd has them within seconds. A failure has been logged.
 * node must live as long as the process. To be called once.
 */
enum exit_status epmd_publish(ei_cnode *node, int port);

/* Ends the registration. */
void epmd_unpublish(void);

#endif
