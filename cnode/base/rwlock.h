/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RWLOCK_H
#define RWLOCK_H

#include <pthread.h>

/*
 * A lock for which who reads waits behind who waits to write. By default who
 * writes waits until nobody reads: with many, for ever.
 */
static inline void rwlock_init(pthread_rwlock_t *lock)
{
	pthread_rwlockattr_t attributes;

	pthread_rwlockattr_init(&attributes);
	pthread_rwlockattr_setkind_np(
		&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(lock, &attributes);
	pthread_rwlockattr_destroy(&attributes);
}

#endif
