/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RWLOCK_H
#define RWLOCK_H

#include <pthread.h>

/*
 * A lock that prefers writers: new readers wait behind a waiting writer. By
 * default, a steady stream of readers starves writers.
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
