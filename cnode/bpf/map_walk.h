/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAP_WALK_H
#define MAP_WALK_H

#include "bpf/map.h"

/*
 * A step's buffer should have no more entries, unless a single bucket does:
 * nothing interrupts a batch system call, not even SIGKILL.
 */
#define MAP_WALK_MOST 16384

/*
 * A walk through a map, which can stop and resume at its cursor.
 *
 * It ends even while others insert and delete. On hash types (walked by bucket)
 * and arrays, an entry that is there throughout comes exactly once. On other
 * types it comes at least once if only entries that have already come are
 * deleted; on a trie, no value may be replaced either (the kernel's next_key
 * can then miss a neighbour, measured on 6.18). If the next key is deleted, the
 * kernel restarts from the first: keys come again, and the walk ends after four
 * times max_entries.
 */
enum map_walk_position {
	MAP_WALK_START,
	MAP_WALK_AT,
	MAP_WALK_DONE
};

/* TAKE reads and removes. With KEYS and REMOVE the values are undefined. */
enum map_walk_mode {
	MAP_WALK_READ,
	MAP_WALK_KEYS,
	MAP_WALK_TAKE,
	MAP_WALK_REMOVE
};

struct map_walk {
	enum map_walk_position position;
	enum map_walk_mode mode;
	/* MAP_WALK_TAKE: called before an entry is removed; or NULL */
	map_keeper keep;
	void *context;
	char *cursor; /* map_walk_cursor_size() bytes, the caller's */
	/* true: -ECANCELED, even within a step; NULL: never */
	const atomic_bool *stopped;
};

size_t map_walk_cursor_size(const struct map *map, const struct map_walk *walk);

/* The caller's arrays, of so many keys and values. */
struct map_walk_buffer {
	char *keys;
	char *values;
	uint32_t entries;
};

/*
 * Reads or removes the next entries and returns how many, which may be 0 before
 * the end. -ENOBUFS: the next bucket exceeds the buffer; nothing is lost.
 * -ECANCELED: stopped; the walk can resume at its cursor.
 */
int64_t map_walk_next(struct map *map, struct map_walk *walk,
		      const struct map_walk_buffer *buffer);

#endif
