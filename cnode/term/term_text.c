/* SPDX-License-Identifier: Apache-2.0 */
/* Validates the text of atoms that are not plain ASCII. */
#include <string.h>

#include "term/term_bytes.h"

/* The length of the UTF-8 sequence at s; 0: it is invalid. */
static size_t utf8_length(const unsigned char *s, size_t size)
{
	uint32_t code;
	size_t n;

	if (s[0] < 0x80)
		return 1;
	n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
	if (s[0] < 0xc2 || s[0] > 0xf4 || n > size)
		return 0;
	code = s[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (s[i] & 0x3fu);
	}
	if ((n == 3 && code < 0x800) || (n == 4 && code < 0x10000) ||
	    code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	return n;
}

static bool is_utf8(const char *text, size_t size)
{
	size_t characters = 0;
	size_t n;

	for (size_t i = 0; i < size; i += n) {
		n = utf8_length((const unsigned char *)text + i, size - i);
		if (n == 0 || ++characters > TERM_MAX_ATOM_CHARACTERS)
			return false;
	}
	return true;
}

bool term_is_node_name(const char *text, size_t size)
{
	return is_plain_text(text, size) ||
	       term_check_odd_text(ERL_SMALL_ATOM_UTF8_EXT, text, size, true);
}

bool term_check_odd_text(char tag, const char *text, size_t size, bool is_node)
{
	if (is_node && memchr(text, '\0', size))
		return false;
	if (tag == ERL_SMALL_ATOM_UTF8_EXT || tag == ERL_ATOM_UTF8_EXT)
		return is_utf8(text, size);
	return size <= TERM_MAX_ATOM_CHARACTERS;
}
