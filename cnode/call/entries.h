/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENTRIES_H
#define ENTRIES_H

#include "bpf/map_walk.h"
#include "call/call.h"

/*
 * A walk of call->map in steps of bounded memory, for the functions that work
 * on many entries. As in call.h, false means that an exception is set.
 */
struct entries {
	struct map_walk walk; /* the caller sets its mode, */
	uint32_t most;        /* and the most entries of a step; 0: any */
	bool with_maps;       /* open handles for maps in maps */
	struct map_walk_buffer buffer; /* the entries of the last step, */
	uint32_t count;                /* and their number */
};

/* enotsup on a map without keys. */
bool entries_check(struct call *call);

/* The same, and einval if entries of the map cannot be removed. */
bool entries_check_removal(struct call *call);

/* From the beginning, or from a cursor that entries_write_cursor() wrote. */
bool entries_start(struct call *call, struct entries *entries);
bool entries_start_at(struct call *call, struct entries *entries,
		      struct term cursor);

/*
 * The next step that has entries; count is 0 at the end. A step returns about
 * wanted entries and 1 MiB at most, but never less than a whole bucket. A
 * bucket of more than most entries raises {too_big, Max} and is left alone.
 */
bool entries_next(struct call *call, struct entries *entries, uint32_t wanted);

/*
 * The number of pairs that are sure to fit into the rest of the answer. Raises
 * {too_big, Max} if there is not even one.
 */
bool entries_fit(struct call *call, uint32_t *entries);

/* Entry n of the last step. */
const char *entries_key(struct call *call, const struct entries *entries,
			uint32_t n);
const char *entries_value(struct call *call, const struct entries *entries,
			  uint32_t n);
void entries_write_pair(struct call *call, const struct entries *entries,
			uint32_t n);
void entries_write_cursor(struct call *call, const struct entries *entries);

/*
 * Takes up to *most values out of a map without keys, and sets *most to their
 * number. With write, writes a list of {<<>>, Value}; they must be sure to fit.
 */
bool entries_pop(struct call *call, uint32_t *most, bool write);

#endif
