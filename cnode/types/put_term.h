/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PUT_TERM_H
#define PUT_TERM_H

#include <ei.h>
#include <endian.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "types/numbers.h"

/*
 * Terms written where there is room for them, as Erlang writes them, and the
 * end of each returned. Up to PUT_TERM_SLACK bytes behind that end are written
 * over. Shared by the files of this folder; private to them.
 */
#define PUT_TERM_SLACK 32
#define PUT_HEADER_SIZE 5 /* of what has parts, or bytes */

static inline char *put_bytes(char *to, const char *from, size_t size)
{
	memcpy(to, from, size);
	return to + size;
}

/* Bytes with as many readable ones behind them as put_term may write over. */
static inline char *put_short(char *to, const char *from, size_t size)
{
	if (size > PUT_TERM_SLACK)
		return put_bytes(to, from, size);
	memcpy(to, from, PUT_TERM_SLACK);
	return to + size;
}

static inline char *put_word(char *to, uint32_t value)
{
	value = htobe32(value);
	memcpy(to, &value, sizeof(value));
	return to + sizeof(value);
}

static inline char *put_header(char *to, int tag, uint32_t count)
{
	*to = (char)tag;
	return put_word(to + 1, count);
}

static inline char *put_tuple(char *to, uint32_t arity)
{
	if (arity > UINT8_MAX)
		return put_header(to, ERL_LARGE_TUPLE_EXT, arity);
	to[0] = ERL_SMALL_TUPLE_EXT;
	to[1] = (char)arity;
	return to + 2;
}

#define PUT_ATOM(to, name)                                                     \
	put_bytes(put_bytes(to,                                                \
			    (const char[]){ ERL_SMALL_ATOM_UTF8_EXT,           \
					    sizeof(name) - 1 },                \
			    2),                                                \
		  name, sizeof(name) - 1)

static inline size_t put_width(uint64_t word)
{
	return word ? 8 - (size_t)__builtin_clzll(word) / 8 : 0;
}

/* A number that does not fit INTEGER_EXT, without its sign. */
static inline char *put_big(char *to, struct number n, bool negative)
{
	const uint64_t words[] = { htole64(n.low), htole64(n.high),
				   htole64(n.top) };
	size_t size = n.top    ? 16 + put_width(n.top)
		      : n.high ? 8 + put_width(n.high)
			       : put_width(n.low);

	to[0] = ERL_SMALL_BIG_EXT;
	to[1] = (char)size;
	to[2] = (char)negative;
	memcpy(to + 3, words, sizeof(words));
	return to + 3 + size;
}

static inline char *put_unsigned(char *to, uint64_t value)
{
	if (value <= UINT8_MAX) {
		to[0] = ERL_SMALL_INTEGER_EXT;
		to[1] = (char)value;
		return to + 2;
	}
	if (value <= INT32_MAX)
		return put_header(to, ERL_INTEGER_EXT, (uint32_t)value);
	to[0] = ERL_SMALL_BIG_EXT;
	to[1] = (char)put_width(value);
	to[2] = 0;
	value = htole64(value);
	memcpy(to + 3, &value, sizeof(value));
	return to + 3 + to[1];
}

static inline struct number put_negated(struct number n)
{
	n.low = ~n.low + 1;
	n.high = ~n.high + (n.low == 0);
	n.top = ~n.top + (n.low == 0 && n.high == 0);
	return n;
}

static inline char *put_number(char *to, struct number n)
{
	if (n.high == 0 && n.top == 0)
		return put_unsigned(to, n.low);
	if ((int64_t)n.top >= 0)
		return put_big(to, n, false);
	if (n.high == n.top && (int64_t)n.low < 0 &&
	    (int64_t)n.low >= INT32_MIN)
		return put_header(to, ERL_INTEGER_EXT, (uint32_t)n.low);
	return put_big(to, put_negated(n), true);
}

static inline char *put_float(char *to, double value)
{
	uint64_t bits;

	if (isnan(value))
		return PUT_ATOM(to, "nan");
	if (isinf(value))
		return value > 0 ? PUT_ATOM(to, "infinity")
				 : PUT_ATOM(to, "-infinity");
	memcpy(&bits, &value, sizeof(bits));
	bits = htobe64(bits);
	*to = NEW_FLOAT_EXT;
	return put_bytes(to + 1, (const char *)&bits, sizeof(bits));
}

#endif
