/* SPDX-License-Identifier: Apache-2.0 */
/* Text in each form that Erlang has for it: atoms, binaries, lists. */
#include <string.h>

#include "term/term.h"

static size_t put_utf8(char *to, uint32_t c)
{
	size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	static const unsigned char first[] = { 0, 0, 0xc0, 0xe0, 0xf0 };

	for (size_t i = n - 1; i > 0; i--, c >>= 6)
		to[i] = (char)(0x80 | (c & 0x3f));
	to[0] = (char)(first[n] | c);
	return n;
}

bool term_read_characters(struct term t, char *text, size_t max, size_t *size)
{
	struct term_items items;
	struct term item;
	char utf8[4];
	size_t n;
	uint32_t c;

	*size = 0;
	if (!term_list(t, &items))
		return false;
	while (term_next(&items, &item)) {
		if (!term_read_uint32(item, &c) || c > 0x10ffff)
			return false;
		n = put_utf8(utf8, c);
		if (n > max - *size)
			return false;
		memcpy(text + *size, utf8, n);
		*size += n;
	}
	return term_end(&items);
}

bool term_is_characters(struct term t)
{
	struct term_items items;
	struct term item;
	uint32_t c;

	if (!term_list(t, &items))
		return false;
	while (term_next(&items, &item))
		if (!term_read_uint32(item, &c) || c > 0x10ffff)
			return false;
	return term_end(&items);
}

bool term_read_text(struct term t, char *text, size_t size)
{
	const char *bytes;
	size_t length;

	if (term_read_atom(t, &bytes, &length) ||
	    term_read_binary(t, &bytes, &length)) {
		if (length >= size)
			return false;
		memcpy(text, bytes, length);
	} else if (!term_read_characters(t, text, size - 1, &length)) {
		return false;
	}
	if (memchr(text, '\0', length)) /* it is used as a C string */
		return false;
	text[length] = '\0';
	return true;
}
