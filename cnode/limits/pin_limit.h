/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PIN_LIMIT_H
#define PIN_LIMIT_H

#include <pthread.h>
#include <stdint.h>

struct map;
struct pin_path;
struct root;

/*
 * How many pins there may be where this node can make some, whoever made them.
 * Safe to use from any thread.
 */
struct pin_limit {
	uint32_t max;
	/* from a count to the pin that it lets be made, and from a look at a
	   pin to its removal */
	pthread_mutex_t lock;
};

void pin_limit_init(struct pin_limit *limit, uint32_t max);

/*
 * As map_pin() at a place that is open; -ENOSPC where there are as many as
 * there may be, which is logged with who asked. 0 or -errno.
 */
int pin_limit_pin(struct pin_limit *limit, const struct root *root,
		  const struct map *map, const struct pin_path *path,
		  const char *who);

/*
 * As map_unpin() at such a place; what another thread pins there meanwhile
 * stays.
 */
int pin_limit_unpin(struct pin_limit *limit, const struct map *map,
		    const struct pin_path *path);

#endif
