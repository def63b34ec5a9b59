/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RANKING_H
#define RANKING_H

#include "call/members.h"

#define RANKING_MOST 65536 /* entries */

/*
 * The largest entries of a walk by one member: no more than most of them are
 * kept, in a buffer of the connection. Where members are equal, the entry whose
 * key has the lower bytes is the larger one.
 */
struct ranking {
	struct members members; /* the caller's to set, */
	uint32_t most;          /* and this */
	uint32_t count;
	uint32_t capacity;
	char *records;
};

/* Raises {too_big, Max} or enomem. */
bool ranking_add(struct call *call, struct ranking *ranking, const char *key,
		 const char *value);

/* Writes a list of {Key, Value}, the largest first, once. */
bool ranking_write(struct call *call, struct ranking *ranking);

#endif
