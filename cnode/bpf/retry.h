/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RETRY_H
#define RETRY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Retries an operation while the kernel returns -ENOMEM:
 *
 *	struct retry retry = { .stopped = stopped };
 *
 *	do
 *		error = map_put(map, key, value);
 *	while (retry_after(&retry, error));
 */
struct retry {
	const atomic_bool *stopped; /* true: give up; NULL: never */
	unsigned waits;
	int64_t until; /* ms of the monotonic clock */
};

/*
 * After -ENOMEM, waits and returns true; each wait is longer, about 100 ms in
 * all. False once these are used up, after any other result, when stopped, or
 * a second after the first call.
 */
bool retry_after(struct retry *retry, int error);

#endif
