/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records that several others need, as the layouts of many views of one map:
 * one record for all that have the same bytes, with a count that is not kept:
 * at a start those that need it are counted anew.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <zlib.h>

#include "state/state_internal.h"

#define BUCKETS 1024

struct shared {
	uint32_t record;
	uint32_t sum; /* CRC-32 of its bytes */
	size_t size;
	uint32_t count; /* of those that need it */
	LIST_ENTRY(shared) by_record;
	LIST_ENTRY(shared) by_sum;
};

LIST_HEAD(shared_list, shared);

struct state_shared {
	pthread_mutex_t lock; /* taken before that of the state */
	struct shared_list by_record[BUCKETS];
	struct shared_list by_sum[BUCKETS];
};

struct state_shared *state_shared_new(void)
{
	struct state_shared *table = calloc(1, sizeof(*table));

	if (table)
		pthread_mutex_init(&table->lock, NULL);
	return table;
}

void state_shared_free(struct state_shared *table)
{
	struct shared *shared;

	for (size_t i = 0; table && i < BUCKETS; i++)
		while ((shared = LIST_FIRST(&table->by_record[i]))) {
			LIST_REMOVE(shared, by_record);
			free(shared);
		}
	if (table)
		pthread_mutex_destroy(&table->lock);
	free(table);
}

/* --- Called with the lock ------------------------------------------------- */

static struct shared *find_record(struct state_shared *table, uint32_t record)
{
	struct shared *shared;

	LIST_FOREACH(shared, &table->by_record[record % BUCKETS], by_record)
	if (shared->record == record)
		break;
	return shared;
}

static struct shared *find_bytes(const struct state *state, uint32_t sum,
				 const void *bytes, size_t size)
{
	struct shared *shared;

	LIST_FOREACH(shared, &state->shared->by_sum[sum % BUCKETS], by_sum)
	if (shared->sum == sum && shared->size == size &&
	    state_records_equal(state, shared->record, bytes, size))
		break;
	return shared;
}

static void insert(struct state_shared *table, struct shared *shared)
{
	LIST_INSERT_HEAD(&table->by_record[shared->record % BUCKETS], shared,
			 by_record);
	LIST_INSERT_HEAD(&table->by_sum[shared->sum % BUCKETS], shared, by_sum);
}

static void end(struct state *state, struct shared *shared)
{
	LIST_REMOVE(shared, by_record);
	LIST_REMOVE(shared, by_sum);
	state_drop(state, shared->record);
	free(shared);
}

/* --- Sharing -------------------------------------------------------------- */

static struct shared *new_shared(uint32_t record, const void *bytes,
				 size_t size)
{
	struct shared *shared = calloc(1, sizeof(*shared));

	if (!shared)
		return NULL;
	shared->record = record;
	shared->sum = (uint32_t)crc32(0, bytes, (uInt)size);
	shared->size = size;
	return shared;
}

/* The one that is there, or else this new one, which is freed if it is not
 * needed. */
static uint32_t settle(struct state *state, struct shared *new,
		       const void *bytes)
{
	struct shared *shared;
	uint32_t record;

	pthread_mutex_lock(&state->shared->lock);
	shared = find_bytes(state, new->sum, bytes, new->size);
	if (!shared) {
		insert(state->shared, new);
		shared = new;
	}
	shared->count++;
	record = shared->record;
	pthread_mutex_unlock(&state->shared->lock);
	if (shared != new) {
		state_drop(state, new->record);
		free(new);
	}
	return record;
}

static bool find_one(struct state *state, const void *bytes, size_t size,
		     uint32_t *record)
{
	uint32_t sum = (uint32_t)crc32(0, bytes, (uInt)size);
	struct shared *shared;

	pthread_mutex_lock(&state->shared->lock);
	shared = find_bytes(state, sum, bytes, size);
	if (shared) {
		shared->count++;
		*record = shared->record;
	}
	pthread_mutex_unlock(&state->shared->lock);
	return shared != NULL;
}

int state_share(struct state *state, const void *bytes, size_t size,
		uint32_t *record)
{
	struct shared *new;
	uint32_t made;
	int error;

	if (find_one(state, bytes, size, record))
		return 0;
	error = state_take(state, size, &made);
	if (error < 0)
		return error;
	new = new_shared(made, bytes, size);
	if (!new) {
		state_drop(state, made);
		return -ENOMEM;
	}
	state_write(state, made, bytes, size);
	*record = settle(state, new, bytes);
	return 0;
}

void state_unshare(struct state *state, uint32_t record)
{
	struct shared *shared;

	pthread_mutex_lock(&state->shared->lock);
	shared = find_record(state->shared, record);
	if (shared && --shared->count == 0)
		end(state, shared);
	pthread_mutex_unlock(&state->shared->lock);
}

/* --- At a start ----------------------------------------------------------- */

int state_shared_found(struct state *state, uint32_t record, const void *bytes,
		       size_t size)
{
	struct shared *shared = new_shared(record, bytes, size);

	if (!shared)
		return -ENOMEM;
	insert(state->shared, shared);
	return 0;
}

bool state_share_again(struct state *state, uint32_t record)
{
	struct shared *shared = find_record(state->shared, record);

	if (shared)
		shared->count++;
	return shared != NULL;
}

void state_drop_unshared(struct state *state)
{
	struct shared *shared, *next;

	for (size_t i = 0; i < BUCKETS; i++)
		for (shared = LIST_FIRST(&state->shared->by_record[i]); shared;
		     shared = next) {
			next = LIST_NEXT(shared, by_record);
			if (shared->count == 0)
				end(state, shared);
		}
}
