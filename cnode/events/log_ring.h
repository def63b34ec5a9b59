/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LOG_RING_H
#define LOG_RING_H

#include "bpf/ring.h"

/*
 * A ring of the lines that this process logs, from when it is opened until it
 * is closed, each as a term:
 *
 *	#{time => integer(), level => atom(), message => binary(),
 *	  event => atom(), Field => binary() | integer()}
 *
 * with the fields of --log-format json; time is in us of Erlang's system time.
 * Where the ring is full, lines are lost and counted. There is one at most.
 */

/* written is called for each line, by the thread that logs it. False: no
 * memory. */
bool log_ring_open(struct ring *ring, void (*written)(void *context),
		   void *context);
void log_ring_close(struct ring *ring);

/* Lines that the next one will tell to have been lost, when *end was the end.
 */
uint64_t log_ring_lost(const struct ring *ring, unsigned long *end);

#endif
