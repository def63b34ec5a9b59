/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VALUES_H
#define VALUES_H

#include "call/call.h"

/*
 * A key or a value of call->map, borrowed from the packet or a buffer. What
 * the kernel takes as a descriptor is named, and open until the next one is
 * read, or the call is over.
 */
bool values_read_key(struct call *call, struct term t, const char **key);
/*
 * As values_read_key(), where only an entry that is there matters: *error is
 * -ENOENT where what the key names has gone, and its entry with it; else 0.
 */
bool values_find_key(struct call *call, struct term t, const char **key,
		     int *error);
bool values_read(struct call *call, struct term t, const char **value);

/*
 * {too_big, Max} unless an entry of call->map and its handle, as it came, are
 * sure to fit into the answer. To be asked before anything is taken out.
 */
bool values_check_answer(struct call *call, struct term handle);

/* Where to have an entry read to; then it is part of the answer. */
char *values_buffer(struct call *call);
void values_write(struct call *call, const char *bytes);

/* The entry of a key, in the room for values; *error is 0, or -ENOENT. */
bool values_lookup(struct call *call, struct term key, int *error,
		   char **value);

/*
 * Takes the entry of a key out; *error as for values_lookup(). What is a map
 * gets its handle before it leaves the map that it is in, and may end with it.
 */
bool values_take(struct call *call, const char *key, int *error, char **value);

/* As map_get(); what is a map has a handle then. -ENOENT also where it has gone
 */
int values_get(struct call *call, const char *key, char *value);

/* A handle for a map that is a value, or -errno. */
int values_hold_map(struct call *call, const char *value);
/* The same as a map_keeper: what is taken out stays until it is closed. */
int values_keep_map(void *call, const void *value);

/* The most bytes of a value in an answer. */
size_t values_size(const struct map *map);

#endif
