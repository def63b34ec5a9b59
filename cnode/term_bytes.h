/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TERM_BYTES_H
#define TERM_BYTES_H

#include "term.h"

/* What checking and reading terms have in common; nobody else's business. */
static inline uint16_t get16(const char *s)
{
	const unsigned char *u = (const unsigned char *)s;

	return (uint16_t)(u[0] << 8 | u[1]);
}

static inline uint32_t get32(const char *s)
{
	const unsigned char *u = (const unsigned char *)s;

	return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 |
	       (uint32_t)u[2] << 8 | u[3];
}

/* The text of an atom that was checked, whose tag says how long its length is
 */
static inline void atom_text(struct term t, const char **text, size_t *size)
{
	size_t header =
		*t.at == ERL_SMALL_ATOM_UTF8_EXT || *t.at == ERL_SMALL_ATOM_EXT
			? 2
			: 3;

	*text = t.at + header;
	*size = t.size - header;
}

#endif
