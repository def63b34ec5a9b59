/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TERM_BYTES_H
#define TERM_BYTES_H

#include "term/term.h"

#define TERM_MAX_ATOM_CHARACTERS 255

/* Shared by the files that check, read and write terms; private to them. */
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

static inline void put32(char *to, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		to[i] = (char)(value >> (8 * (3 - i)));
}

/* A count of width 1, 2 or 4; 0 for width 0. */
static inline uint32_t get_count(const char *s, int width)
{
	switch (width) {
	case 1:
		return (unsigned char)*s;
	case 2:
		return get16(s);
	case 4:
		return get32(s);
	default:
		return 0;
	}
}

static inline bool is_atom_tag(char tag)
{
	return tag == ERL_SMALL_ATOM_UTF8_EXT || tag == ERL_ATOM_UTF8_EXT ||
	       tag == ERL_SMALL_ATOM_EXT || tag == ERL_ATOM_EXT;
}

static inline uint64_t load64(const char *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return word;
}

static inline uint64_t load32(const char *at)
{
	uint32_t word;

	memcpy(&word, at, sizeof(word));
	return word;
}

/*
 * Sets the high bit of each byte that is 0 or above 127; a borrow from a 0 may
 * set that of the next byte, too.
 */
static inline uint64_t odd_bytes(uint64_t word)
{
	return ((word - UINT64_C(0x0101010101010101)) | word) &
	       UINT64_C(0x8080808080808080);
}

/*
 * ASCII without a NUL, as nearly all atoms are. Checks eight or four bytes at a
 * time; the last step may overlap the one before.
 */
static inline bool is_plain_text(const char *text, size_t size)
{
	const char *end = text + size;
	uint64_t odd = 0;

	if (size >= 8) {
		for (; text < end - 8; text += 8)
			odd |= odd_bytes(load64(text));
		odd |= odd_bytes(load64(end - 8));
	} else if (size >= 4) {
		odd = odd_bytes(load32(text) << 32 | load32(end - 4));
	} else {
		for (; text < end; text++)
			odd |= (unsigned char)*text - 1u >= 0x7f;
	}
	return odd == 0 && size <= TERM_MAX_ATOM_CHARACTERS;
}

/* The bytes of an atom's length. */
static inline int atom_width(char tag)
{
	return tag == ERL_SMALL_ATOM_UTF8_EXT || tag == ERL_SMALL_ATOM_EXT ? 1
									   : 2;
}

/*
 * Whether text that is not plain is valid in an atom of that tag. A node's name
 * must not contain a NUL, since ei returns it as a C string.
 */
bool term_check_odd_text(char tag, const char *text, size_t size, bool is_node);

/* The text of an atom that was checked. */
static inline void atom_text(struct term t, const char **text, size_t *size)
{
	size_t header = 1 + (size_t)atom_width(*t.at);

	*text = t.at + header;
	*size = t.size - header;
}

#endif
