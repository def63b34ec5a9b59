/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAP_WALK_H
#define MAP_WALK_H

#include "bpf/map.h"

/*
 * So many entries should one step have at most, unless one bucket has more: a
 * system call is not to take long, as nothing ends it, not even SIGKILL.
 */
#define MAP_WALK_MOST 16384

/*
 * A walk through a map, which can be left and gone on with from its cursor.
 *
 * What it promises, while others insert and delete: it ends. On hash types,
 * which go by bucket, and on arrays what is there all the time comes once. On
 * others it comes at least once while nothing is deleted but what has come; of
 * a trie, also while no value is replaced (the kernel's own next_key may miss a
 * neighbour then, as measured on 6.18).
 * When the key has gone that is next the kernel begins anew: keys come again,
 * and the walk ends after four times as many as the map has room for.
 */
enum map_walk_position {
	MAP_WALK_START,
	MAP_WALK_AT,
	MAP_WALK_DONE
};

/*
 * What becomes of the entries: read, read and removed, or only removed. Of
 * MAP_WALK_KEYS only the keys are wanted, and what stands for values is
 * undefined.
 */
enum map_walk_mode {
	MAP_WALK_READ,
	MAP_WALK_KEYS,
	MAP_WALK_TAKE,
	MAP_WALK_REMOVE
};

struct map_walk {
	enum map_walk_position position;
	enum map_walk_mode mode;
	/* MAP_WALK_TAKE: called before an entry leaves; NULL: nothing is */
	map_keeper keep;
	void *context;
	char *cursor; /* MAP_WALK_AT: map_walk_cursor_size() bytes; the caller's
		       */
	/* true: -ECANCELED, also in the middle of a step; NULL: never */
	const atomic_bool *stopped;
};

size_t map_walk_cursor_size(const struct map *map, const struct map_walk *walk);

/* Room for entries, of which key and value stand one behind the other. */
struct map_walk_room {
	char *keys;
	char *values;
	uint32_t entries;
};

/*
 * The next entries: their number, which may be 0 before the end. -ENOBUFS: the
 * next bucket has more entries than there is room for; nothing is lost.
 * -ECANCELED: it was stopped, and can go on from its cursor.
 */
int64_t map_walk_next(struct map *map, struct map_walk *walk,
		      const struct map_walk_room *room);

#endif
