/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the end of a term: in bytes from a peer, which it checks on the way,
 * and in bytes checked before. No term is read before it is checked, since ei's
 * decoders do not know where the buffer ends.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "term/term_bytes.h"

/* --- Floats and bit strings --------------------------------------------- */

static bool check_float(const char *bytes, const char *end)
{
	uint64_t bits;
	double value;

	if (end - bytes < (ptrdiff_t)sizeof(value))
		return false;
	bits = (uint64_t)get32(bytes) << 32 | get32(bytes + 4);
	memcpy(&value, &bits, sizeof(value));
	return isfinite(value);
}

/* Size:32 Bits:8 */
static bool check_bits(const char *header, const char *end)
{
	return end - header >= 5 && get32(header) > 0 && header[4] >= 1 &&
	       header[4] <= 8;
}

/* --- Forms -------------------------------------------------------------- */

/*
 * Each skips what follows a tag and returns its end. Nested terms are not
 * skipped but added to pending. With check set it returns NULL if the bytes are
 * incomplete or malformed. All are inlined, once for each value of check.
 */
#define FORM __attribute__((always_inline)) static inline const char *

/* Only called with check set, when pos <= end. */
static inline size_t bytes_left(const char *pos, const char *end)
{
	return (size_t)(end - pos);
}

FORM skip_fixed(const char *pos, const char *end, size_t size, bool check)
{
	return check && bytes_left(pos, end) < size ? NULL : pos + size;
}

/* A header that starts with a count of width 1, 2 or 4, and that many bytes. */
FORM skip_bytes(const char *pos, const char *end, int width, size_t header,
		bool check)
{
	size_t n;

	if (check && bytes_left(pos, end) < header)
		return NULL;
	n = get_count(pos, width);
	pos += header;
	return check && bytes_left(pos, end) < n ? NULL : pos + n;
}

FORM skip_atom(const char *pos, const char *end, int width, bool is_node,
	       bool check)
{
	size_t size;

	if (check && bytes_left(pos, end) < (size_t)width)
		return NULL;
	size = get_count(pos, width);
	if (check &&
	    (bytes_left(pos + width, end) < size ||
	     (!is_plain_text(pos + width, size) &&
	      !term_check_odd_text(pos[-1], pos + width, size, is_node))))
		return NULL;
	return pos + width + size;
}

/* A node's name, and the given number of bytes after it. */
FORM skip_node(const char *pos, const char *end, size_t bytes, bool check)
{
	int width;

	if (check && (bytes_left(pos, end) < 2 || !is_atom_tag(*pos)))
		return NULL;
	width = atom_width(*pos);
	pos = skip_atom(pos + 1, end, width, true, check);
	return pos ? skip_fixed(pos, end, bytes, check) : NULL;
}

/*
 * Forms from before creations had 32 bits. The creation is one byte, at most 3,
 * with the given number of bytes before and after it.
 */
FORM skip_old_node(const char *pos, const char *end, size_t before,
		   size_t after, bool check)
{
	const char *next = skip_node(pos, end, before + 1 + after, check);

	if (check && next && (unsigned char)*(next - after - 1) > 3)
		return NULL;
	return next;
}

/* Words:16, a node's name, a creation, the words */
FORM skip_ref(const char *pos, const char *end, bool is_old, bool check)
{
	size_t words;

	if (check && bytes_left(pos, end) < 2)
		return NULL;
	words = get16(pos);
	if (check && (words == 0 || words > TERM_MAX_REF_WORDS))
		return NULL;
	pos += 2;
	return is_old ? skip_old_node(pos, end, 0, 4 * words, check)
		      : skip_node(pos, end, 4 + 4 * words, check);
}

/* A count of items of each terms, and more terms. */
/* NOLINTNEXTLINE(readability-function-size): all but two are constants */
FORM skip_items(const char *pos, const char *end, int width, unsigned each,
		unsigned more, uint64_t *pending, bool check)
{
	if (check && bytes_left(pos, end) < (size_t)width)
		return NULL;
	*pending += (uint64_t)get_count(pos, width) * each + more;
	pos += width;
	/* each term takes at least a byte */
	return check && *pending > bytes_left(pos, end) ? NULL : pos;
}

/*
 * A switch, not a table, so that every size is a constant: a small request
 * spends most of its time here. Atom cache references and compressed terms are
 * missing, since the handshake offers neither.
 */
/* NOLINTNEXTLINE(readability-function-size): one step a kind of term */
FORM skip_form(const char *pos, const char *end, uint64_t *pending, bool check)
{
	switch (pos[-1]) {
	case ERL_SMALL_INTEGER_EXT:
		return skip_fixed(pos, end, 1, check);
	case ERL_INTEGER_EXT:
		return skip_fixed(pos, end, 4, check);
	case ERL_SMALL_BIG_EXT:
		return skip_bytes(pos, end, 1, 2, check);
	case ERL_LARGE_BIG_EXT:
		return skip_bytes(pos, end, 4, 5, check);
	case ERL_FLOAT_EXT:
		return skip_fixed(pos, end, 31, check);
	case NEW_FLOAT_EXT:
		return check && !check_float(pos, end) ? NULL : pos + 8;
	case ERL_SMALL_ATOM_UTF8_EXT:
	case ERL_SMALL_ATOM_EXT:
		return skip_atom(pos, end, 1, false, check);
	case ERL_ATOM_UTF8_EXT:
	case ERL_ATOM_EXT:
		return skip_atom(pos, end, 2, false, check);
	case ERL_NIL_EXT:
		return pos;
	case ERL_STRING_EXT:
		return skip_bytes(pos, end, 2, 2, check);
	case ERL_LIST_EXT:
		return skip_items(pos, end, 4, 1, 1, pending, check);
	case ERL_SMALL_TUPLE_EXT:
		return skip_items(pos, end, 1, 1, 0, pending, check);
	case ERL_LARGE_TUPLE_EXT:
		return skip_items(pos, end, 4, 1, 0, pending, check);
	case ERL_MAP_EXT:
		return skip_items(pos, end, 4, 2, 0, pending, check);
	case ERL_BINARY_EXT:
		return skip_bytes(pos, end, 4, 4, check);
	case ERL_BIT_BINARY_EXT:
		return check && !check_bits(pos, end)
			       ? NULL
			       : skip_bytes(pos, end, 4, 5, check);
	case ERL_NEW_PID_EXT:
		return skip_node(pos, end, 4 + 4 + 4, check);
	case ERL_PID_EXT:
		return skip_old_node(pos, end, 4 + 4, 0, check);
	case ERL_NEWER_REFERENCE_EXT:
		return skip_ref(pos, end, false, check);
	case ERL_NEW_REFERENCE_EXT:
		return skip_ref(pos, end, true, check);
	case ERL_REFERENCE_EXT:
		return skip_old_node(pos, end, 4, 0, check);
	case ERL_V4_PORT_EXT:
		return skip_node(pos, end, 8 + 4, check);
	case ERL_NEW_PORT_EXT:
		return skip_node(pos, end, 4 + 4, check);
	case ERL_PORT_EXT:
		return skip_old_node(pos, end, 4, 0, check);
	case ERL_EXPORT_EXT:
		return skip_items(pos, end, 0, 0, 3, pending, check);
	case ERL_NEW_FUN_EXT: /* Size:32 Arity:8 Uniq:128 Index:32 Free:32 */
		pos = skip_fixed(pos, end, 4 + 1 + 16 + 4, check);
		return pos ? skip_items(pos, end, 4, 1, 4, pending, check)
			   : NULL;
	case ERL_FUN_EXT:
		return skip_items(pos, end, 4, 1, 4, pending, check);
	default:
		return NULL;
	}
}

FORM skip_term(const char *pos, const char *end, bool check)
{
	uint64_t pending = 1; /* terms still to skip */

	while (pending > 0) {
		if (check && pos == end)
			return NULL;
		pending--;
		pos = skip_form(pos + 1, end, &pending, check);
		if (!pos)
			return NULL;
	}
	return pos;
}

ssize_t term_check(const char *buf, size_t size)
{
	const char *end = skip_term(buf, buf + size, true);

	return end ? end - buf : -EBADMSG;
}

size_t term_size(const char *buf)
{
	const char *end = skip_term(buf, NULL, false);

	return (size_t)(end - buf);
}

/* --- Elements ----------------------------------------------------------- */

/* SMALL_INTEGER_EXT 0 to 255: the elements that a STRING_EXT's bytes mean. */
#define I1(n)                                                                  \
	{                                                                      \
		ERL_SMALL_INTEGER_EXT, (char)(n)                               \
	}
#define I4(n) I1(n), I1((n) + 1), I1((n) + 2), I1((n) + 3)
#define I16(n) I4(n), I4((n) + 4), I4((n) + 8), I4((n) + 12)
#define I64(n) I16(n), I16((n) + 16), I16((n) + 32), I16((n) + 48)
static const char small_integers[256][2] = { I64(0), I64(64), I64(128),
					     I64(192) };

/* Inlined, once for each value of check. */
__attribute__((always_inline)) static inline uint32_t
next_terms(struct term_items *items, struct term *elements, uint32_t max,
	   bool check)
{
	const char *pos = items->pos, *end = items->end, *next;
	uint32_t n;

	if (max > items->left)
		max = items->left;
	for (n = 0; n < max && pos != end; n++, pos = next) {
		next = skip_term(pos, end, check);
		if (!next)
			break;
		elements[n] = (struct term){ pos, (size_t)(next - pos) };
	}
	items->pos = pos;
	items->left -= n;
	return n;
}

static uint32_t next_bytes(struct term_items *items, struct term *elements,
			   uint32_t max)
{
	uint32_t n;

	for (n = 0; n < max && items->left > 0 && items->pos != items->end;
	     n++, items->left--)
		elements[n] = (struct term){
			small_integers[(unsigned char)*items->pos++],
			sizeof(small_integers[0]),
		};
	return n;
}

uint32_t term_next_some(struct term_items *items, struct term *elements,
			uint32_t max)
{
	if (items->bytes)
		return next_bytes(items, elements, max);
	return items->unchecked ? next_terms(items, elements, max, true)
				: next_terms(items, elements, max, false);
}
