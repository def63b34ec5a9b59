/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USER_RING_H
#define USER_RING_H

#include <stddef.h>

struct map;
struct ring_pages;

/*
 * Appends a record to a user ring buffer (BPF_MAP_TYPE_USER_RINGBUF), for the
 * program that drains it. One at a time of this process; the kernel knows of no
 * other writer. 0; -ENOSPC: it is full; -E2BIG: it can never hold the record;
 * -EOPNOTSUPP: the map is no such ring; otherwise as
 * ring_pages_open().
 */
int user_ring_push(struct map *map, const void *data, size_t size);

void user_ring_free(struct ring_pages *ring); /* takes NULL */

#endif
