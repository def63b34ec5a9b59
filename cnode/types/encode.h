/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENCODE_H
#define ENCODE_H

#include "term/term.h"
#include "types/plan.h"

#define ENCODE_MAX_STRING 1024 /* bytes of a name that is a list, and a NUL */

/*
 * Where in a term the mistake is: names of members and indexes of arrays, from
 * the top. Names are borrowed from the plan and the term.
 */
struct encode_path {
	uint32_t count;

	struct encode_place {
		const char *name; /* NULL: an index */
		size_t name_size;
		uint32_t index;
	} places[PLAN_MAX_DEPTH];

	char string[ENCODE_MAX_STRING]; /* of a name that is a list */
};

/*
 * Writes a term as plan->size bytes, with zeros for padding and for what is
 * hidden. False: the term does not fit, and *path has where; the bytes are
 * undefined then.
 *
 *	integer, pointer: an integer in its range
 *	bool: true, false or such an integer; enum: also a constant's name
 *	float: a float, an integer of 64 bits, nan, infinity or '-infinity'
 *	char: a binary or list of no more bytes, NULs only at its end
 *	bytes: a binary of just as many
 *	array: a list of all elements; tuple: all members that are shown
 *	map: all members, once each; of a union those of one alternative
 */
bool encode(const struct plan *plan, enum plan_form form, struct term t,
	    char *bytes, struct encode_path *path);

/* As a list of binaries and integers; [] is the term itself. */
void encode_write_path(const struct encode_path *path, struct term_writer *w);

#endif
