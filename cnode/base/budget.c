/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much memory all connections use together. Bytes are reserved before they
 * are allocated, so that the limit holds at any moment. Knows no connections: a
 * caller that is refused reports it.
 */
#include "base/budget.h"

#include <stdlib.h>

#include "base/heap.h"

static bool reserve(struct budget *budget, size_t bytes)
{
	size_t used = atomic_load(&budget->used);

	do {
		if (bytes > budget->max - used) {
			atomic_store(&budget->exceeded, true);
			return false;
		}
	} while (!atomic_compare_exchange_weak(&budget->used, &used,
					       used + bytes));
	/* libc's free blocks must not come on top of a full budget */
	if (used + bytes > budget->max / 2)
		heap_trim();
	return true;
}

static size_t counted(size_t size)
{
	return size > BUDGET_FREE ? size : 0;
}

bool budget_reserve(struct account *account, size_t size)
{
	if (!account || counted(size) == 0)
		return true;
	if (!reserve(account->budget, size)) {
		account->refused = size;
		return false;
	}
	atomic_fetch_add(&account->held, size);
	return true;
}

static void give_back(struct account *account, size_t bytes)
{
	if (!account || bytes == 0)
		return;
	atomic_fetch_sub(&account->held, bytes);
	atomic_fetch_sub(&account->budget->used, bytes);
}

void budget_release(struct account *account, size_t size)
{
	give_back(account, counted(size));
}

/* Reserves nothing, so it cannot be refused. */
static void *shrink(struct account *account, void *block, size_t old_size,
		    size_t size)
{
	void *other = realloc(block, size);

	if (other)
		give_back(account, counted(old_size) - counted(size));
	return other;
}

void *budget_realloc(struct account *account, void *block, size_t old_size,
		     size_t size)
{
	void *other;

	if (block && size < old_size)
		return shrink(account, block, old_size, size);
	if (!budget_reserve(account, size))
		return NULL;
	other = realloc(block, size);
	if (!other && account)
		account->refused = 0;
	budget_release(account, other ? old_size : size);
	return other;
}

void budget_free(struct account *account, void *block, size_t size)
{
	free(block);
	budget_release(account, size);
}

bool budget_was_exceeded(struct budget *budget)
{
	return atomic_exchange(&budget->exceeded, false);
}
