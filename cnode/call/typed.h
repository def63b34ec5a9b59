/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TYPED_H
#define TYPED_H

#include "call/call.h"
#include "types/encode.h"
#include "types/types.h"

/*
 * Keys and values of call->map as terms of their types, where it is a view that
 * has them. Reading raises {badmember, Path}.
 */
static inline bool typed_has_key(const struct map *map)
{
	return map->types && map->types->key;
}

static inline bool typed_has_value(const struct map *map)
{
	return map->types && map->types->value;
}

/* {badmember, Path}; always false. */
bool typed_raise_path(struct call *call, struct encode_path *path);

bool typed_read_key(struct call *call, struct term t, char *buffer);
void typed_write_key(struct call *call, const char *bytes);
/* buffer and bytes are those of all CPUs. */
bool typed_read(struct call *call, struct term t, char *buffer);
void typed_write(struct call *call, const char *bytes);

/* The most bytes that a key or a value takes in an answer. */
static inline size_t typed_key_size(const struct map *map)
{
	return map->types->most_of_key;
}

size_t typed_size(const struct map *map);

/* enotsup if call->map is a view that shows only a part of its values. */
static inline bool typed_check_writable(struct call *call)
{
	return !call->map->types || !types_are_partial(call->map->types) ||
	       raise_errno(call, -EOPNOTSUPP);
}

#endif
