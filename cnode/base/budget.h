/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BUDGET_H
#define BUDGET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * The memory that all connections have together for what is large. A buffer of
 * up to BUDGET_FREE bytes does not count, so that a connection can go on with
 * ordinary requests whatever others hold; a larger one counts as a whole.
 */
#define BUDGET_FREE ((size_t)64 * 1024)

struct budget {
	size_t max;
	atomic_size_t used;
	atomic_bool exceeded; /* a request was refused since the last look */
};

/* What one connection has of it. One thread changes it. */
struct account {
	struct budget *budget;
	atomic_size_t held;
	size_t refused; /* bytes, the last time; 0: libc had no memory */
};

/*
 * As realloc(3) and free(3), of a block of a known size. While one grows both
 * count. NULL: there is no memory, or not within the budget; the block stays.
 * Without an account nothing is counted.
 */
void *budget_realloc(struct account *account, void *block, size_t old_size,
		     size_t size);
void budget_free(struct account *account, void *block, size_t size);

/* The same count, for memory that others allocate. */
bool budget_reserve(struct account *account, size_t size);
void budget_release(struct account *account, size_t size);

/* Whether something was refused since the last time that this was asked. */
bool budget_was_exceeded(struct budget *budget);

#endif
