/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENTRIES_H
#define ENTRIES_H

#include "bpf/walk.h"
#include "call/call.h"

/*
 * What the functions over many entries share: a walk of call->map in steps
 * whose memory is bounded. As in call.h, false means that an exception is set.
 */
struct entries {
	struct walk walk;      /* its mode is the caller's to set, */
	uint32_t most;         /* and how many a step may have; 0: no bound */
	bool with_maps;        /* handles are wanted for maps in maps */
	struct walk_room room; /* the entries of the last step, */
	uint32_t count;        /* so many */
};

/* enotsup on a map without keys. */
bool entries_check(struct call *call);

/* enotsup there, and einval where no entry can be removed. */
bool entries_check_removal(struct call *call);

/* From the beginning, or from a cursor as entries_write_cursor() wrote it. */
bool entries_start(struct call *call, struct entries *entries);
bool entries_start_at(struct call *call, struct entries *entries,
		      struct term cursor);

/*
 * The next step that has entries; count is 0 at the end. wanted is for how
 * many there is to be room; a bucket with more of them comes whole, and a step
 * takes 1 MiB at most unless one bucket takes more. A bucket with more than
 * most raises {too_big, Max} and is left alone.
 */
bool entries_next(struct call *call, struct entries *entries, uint32_t wanted);

/*
 * How many more entries are sure to fit into the answer, as pairs. Raises
 * {too_big, Max} for less than 1.
 */
bool entries_fit(struct call *call, uint32_t *entries);

/* Of the last step, entry number n. */
const char *entries_key(struct call *call, const struct entries *entries,
			uint32_t n);
const char *entries_value(struct call *call, const struct entries *entries,
			  uint32_t n);
void entries_write_pair(struct call *call, const struct entries *entries,
			uint32_t n);
void entries_write_cursor(struct call *call, const struct entries *entries);

/*
 * Of a map without keys: takes out up to *most values, and sets *most to how
 * many there were; with write, a list of them as {<<>>, Value}. They must be
 * sure to fit.
 */
bool entries_pop(struct call *call, uint32_t *most, bool write);

#endif
