/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VALUES_H
#define VALUES_H

#include "call/call.h"

/*
 * A key or a value of call->map, borrowed from the packet or a buffer. If it
 * names an object, the object stays open until the next one is read or the call
 * ends.
 */
bool values_read_key(struct call *call, struct term t, const char **key);
/*
 * As values_read_key(), for a lookup: *error is -ENOENT if the object that the
 * key names is gone, and its entry with it; otherwise 0.
 */
bool values_find_key(struct call *call, struct term t, const char **key,
		     int *error);
bool values_read(struct call *call, struct term t, const char **value);

/* Writes a key to the answer. */
void values_write_key(struct call *call, const char *bytes);
/* As values_read_key(), for a key that was not given as a term of its type. */
bool values_read_key_bytes(struct call *call, struct term t, const char **key);

/*
 * Reserves the answer for a value of call->map and its handle, as it came,
 * before anything is taken out. Raises {too_big, Max} or enomem.
 */
bool values_check_answer(struct call *call, struct term handle);

/* A buffer for a value; values_write() writes it to the answer. */
char *values_buffer(struct call *call);
void values_write(struct call *call, const char *bytes);

/* Looks a key up into the buffer for values; *error is 0 or -ENOENT. */
bool values_lookup(struct call *call, struct term key, int *error,
		   char **value);

/*
 * Takes the entry of a key out; *error as for values_lookup(). A map gets its
 * handle before it is taken out of the outer map, which might free it.
 */
bool values_take(struct call *call, const char *key, int *error, char **value);

/* As map_get(); opens a handle if the value is a map. -ENOENT if it is gone. */
int values_get(struct call *call, const char *key, char *value);

/* Opens a handle for a map that is a value. 0 or -errno. */
int values_hold_map(struct call *call, const char *value);
/* The same as a map_keeper: the handle stays until it is closed. */
int values_keep_map(void *call, const void *value);

/* The most bytes that a value or a key takes in an answer. */
size_t values_size(const struct map *map);
size_t values_key_size(const struct map *map);

#endif
