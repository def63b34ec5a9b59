/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Temporary ENOMEM: the kernel allocates entries from small caches, which it
 * refills in the background, those of per-CPU values within milliseconds. Until
 * then it returns ENOMEM, however much memory is free.
 */
#include "bpf/retry.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>

#include "base/clock.h"

/* 2^0 + ... + 2^5 ms, then 2^5 once more */
#define WAITS 7
#define MAX_WAIT 32
#define MAX_TIME 1000 /* ms, if creating the map itself is slow */

bool retry_after(struct retry *retry, int error)
{
	int wait = 1 << retry->waits;

	if (error != -ENOMEM)
		return false;
	if (retry->waits == 0)
		retry->until = clock_ms() + MAX_TIME;
	if (retry->stopped && atomic_load(retry->stopped))
		return false;
	if (retry->waits == WAITS || clock_ms() >= retry->until)
		return false;
	retry->waits++;
	poll(NULL, 0, wait < MAX_WAIT ? wait : MAX_WAIT);
	return true;
}
