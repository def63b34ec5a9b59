/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Holds a lock to read while a thread waits to write. Status 0: further readers
 * wait behind that; 1: none had to wait in ten seconds.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/rwlock.h"

static pthread_rwlock_t lock;

static void *write_once(void *unused)
{
	pthread_rwlock_wrlock(&lock);
	pthread_rwlock_unlock(&lock);
	return unused;
}

int main(void)
{
	const struct timespec ms = { .tv_nsec = 1000000 };
	int left = 10000, error = 0;
	pthread_t writer;

	rwlock_init(&lock);
	pthread_rwlock_rdlock(&lock);
	if (pthread_create(&writer, NULL, write_once, NULL))
		return 2;
	while (error != EBUSY && left-- > 0) {
		error = pthread_rwlock_tryrdlock(&lock);
		if (error == 0)
			pthread_rwlock_unlock(&lock);
		nanosleep(&ms, NULL);
	}
	pthread_rwlock_unlock(&lock);
	pthread_join(writer, NULL);
	return error == EBUSY ? EXIT_SUCCESS : EXIT_FAILURE;
}
