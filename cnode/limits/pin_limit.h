/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PIN_LIMIT_H
#define PIN_LIMIT_H

#include <pthread.h>
#include <stdint.h>

struct pin_path;
struct resource;
struct root;

/*
 * Limits the pins in all folders where this node can pin, including those that
 * others made. Thread-safe.
 */
struct pin_limit {
	uint32_t max;
	/* held from a count to the pin that it allows, and from the check of a
	   pin to its removal */
	pthread_mutex_t lock;
};

void pin_limit_init(struct pin_limit *limit, uint32_t max);

/*
 * As resource_pin() at an open path; -ENOSPC at the limit, which is logged with
 * caller. 0 or -errno.
 */
int pin_limit_pin(struct pin_limit *limit, const struct root *root,
		  const struct resource *resource, const struct pin_path *path,
		  const char *caller);

/* As resource_unpin(); another object that a thread pins there meanwhile stays.
 */
int pin_limit_unpin(struct pin_limit *limit, const struct resource *resource,
		    const struct pin_path *path);

#endif
