/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RETRY_H
#define RETRY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * What is tried again while the kernel has no memory for it:
 *
 *	struct retry retry = { .stopped = stopped };
 *
 *	do
 *		error = map_put(map, key, value);
 *	while (retry_after(&retry, error));
 */
struct retry {
	const atomic_bool *stopped; /* nobody waits any more; NULL: all do */
	unsigned waits;
	int64_t until; /* ms of the monotonic clock */
};

/*
 * True after -ENOMEM, having waited for longer each time, about 100 ms in all;
 * then false, as after anything else, when stopped, or when the tries
 * themselves have taken a second.
 */
bool retry_after(struct retry *retry, int error);

#endif
