/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BUDGET_H
#define BUDGET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * The memory that all connections share for large buffers. A buffer of up to
 * BUDGET_FREE bytes does not count, so that ordinary requests are served
 * whatever other connections hold; a larger one counts in full.
 */
#define BUDGET_FREE ((size_t)64 * 1024)

struct budget {
	size_t max;
	atomic_size_t used;
	atomic_bool exceeded; /* a request was refused since the last look */
};

/* One connection's share. Only that connection's thread changes it. */
struct account {
	struct budget *budget;
	atomic_size_t held;
	size_t refused; /* bytes, at the last refusal; 0: libc was out of it */
};

/*
 * realloc(3) and free(3) for a block of known size. While a block grows, the
 * old and the new one both count. NULL: out of memory or over budget, and the
 * block is unchanged. Without an account nothing is counted.
 */
void *budget_realloc(struct account *account, void *block, size_t old_size,
		     size_t size);
void budget_free(struct account *account, void *block, size_t size);

/* Counts memory that is allocated elsewhere. */
bool budget_reserve(struct account *account, size_t size);
void budget_release(struct account *account, size_t size);

/* Whether a request was refused since the last call. */
bool budget_was_exceeded(struct budget *budget);

#endif
