/* SPDX-License-Identifier: Apache-2.0 */
/* One lock per map id, shared by all handles of that map. */
#include "bpf/map_lock.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/queue.h>

#define LOCK_BUCKETS 1024

struct map_lock {
	pthread_mutex_t mutex;
	uint32_t id;
	unsigned users;
	LIST_ENTRY(map_lock) entry;
};

static LIST_HEAD(lock_bucket, map_lock) lock_buckets[LOCK_BUCKETS]; /* by id */
static pthread_mutex_t locks_mutex = PTHREAD_MUTEX_INITIALIZER;

static struct map_lock *find_or_add_lock(uint32_t id)
{
	struct lock_bucket *bucket = &lock_buckets[id % LOCK_BUCKETS];
	struct map_lock *lock;

	LIST_FOREACH(lock, bucket, entry)
	if (lock->id == id)
		return lock;
	lock = calloc(1, sizeof(*lock));
	if (!lock)
		return NULL;
	pthread_mutex_init(&lock->mutex, NULL);
	lock->id = id;
	LIST_INSERT_HEAD(bucket, lock, entry);
	return lock;
}

struct map_lock *map_lock_open(uint32_t id)
{
	struct map_lock *lock;

	pthread_mutex_lock(&locks_mutex);
	lock = find_or_add_lock(id);
	if (lock)
		lock->users++;
	pthread_mutex_unlock(&locks_mutex);
	return lock;
}

void map_lock_close(struct map_lock *lock)
{
	if (!lock)
		return;
	pthread_mutex_lock(&locks_mutex);
	if (--lock->users == 0) {
		LIST_REMOVE(lock, entry);
		pthread_mutex_destroy(&lock->mutex);
		free(lock);
	}
	pthread_mutex_unlock(&locks_mutex);
}

void map_lock_take(struct map_lock *lock)
{
	pthread_mutex_lock(&lock->mutex);
}

void map_lock_release(struct map_lock *lock)
{
	pthread_mutex_unlock(&lock->mutex);
}
