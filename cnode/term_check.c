/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The checker of terms from a peer: ei's own functions know no end of a buffer,
 * so that nothing is handed to them that has not been through here.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "term_bytes.h"

#define MAX_ATOM_CHARACTERS 255

/* What a walk over unchecked bytes knows: failure is pos == NULL. */
struct cursor {
	const char *pos;
	const char *end;
	uint64_t pending; /* terms still to come */
};

static size_t left(const struct cursor *c)
{
	return (size_t)(c->end - c->pos);
}

static bool skip(struct cursor *c, uint64_t size)
{
	if (size > left(c))
		return false;
	c->pos += size;
	return true;
}

static bool take16(struct cursor *c, uint32_t *value)
{
	if (left(c) < 2)
		return false;
	*value = get16(c->pos);
	c->pos += 2;
	return true;
}

static bool take32(struct cursor *c, uint32_t *value)
{
	if (left(c) < 4)
		return false;
	*value = get32(c->pos);
	c->pos += 4;
	return true;
}

static bool take8(struct cursor *c, uint32_t *value)
{
	if (left(c) < 1)
		return false;
	*value = (unsigned char)*c->pos++;
	return true;
}

/* The length of the UTF-8 sequence at s, 0 if there is none that is valid. */
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

/* As nearly all atoms are; a loop that a compiler makes a few steps of. */
static bool is_ascii(const char *text, size_t size)
{
	unsigned char all = 0;

	for (size_t i = 0; i < size; i++)
		all |= (unsigned char)text[i];
	return all < 0x80;
}

static bool check_utf8(const char *text, size_t size)
{
	size_t characters = 0;
	size_t n;

	if (size <= MAX_ATOM_CHARACTERS && is_ascii(text, size))
		return true;
	for (size_t i = 0; i < size; i += n) {
		n = utf8_length((const unsigned char *)text + i, size - i);
		if (n == 0 || ++characters > MAX_ATOM_CHARACTERS)
			return false;
	}
	return true;
}

static bool check_atom_text(struct cursor *c, uint32_t size, bool utf8)
{
	if (size > left(c))
		return false;
	if (utf8 ? !check_utf8(c->pos, size) : size > MAX_ATOM_CHARACTERS)
		return false;
	return skip(c, size);
}

static bool check_small_atom(struct cursor *c, unsigned utf8)
{
	uint32_t size;

	return take8(c, &size) && check_atom_text(c, size, utf8);
}

static bool check_long_atom(struct cursor *c, unsigned utf8)
{
	uint32_t size;

	return take16(c, &size) && check_atom_text(c, size, utf8);
}

static bool check_atom(struct cursor *c)
{
	uint32_t tag;

	if (!take8(c, &tag))
		return false;
	switch (tag) {
	case ERL_SMALL_ATOM_UTF8_EXT:
	case ERL_SMALL_ATOM_EXT:
		return check_small_atom(c, tag == ERL_SMALL_ATOM_UTF8_EXT);
	case ERL_ATOM_UTF8_EXT:
	case ERL_ATOM_EXT:
		return check_long_atom(c, tag == ERL_ATOM_UTF8_EXT);
	default:
		return false;
	}
}

/*
 * A node name, and the numbers that follow it in pids, ports, references. No
 * node's name has a NUL in it, and ei hands names out as strings.
 */
static bool check_node(struct cursor *c, unsigned numbers)
{
	struct term name = { .at = c->pos };
	const char *text;
	size_t size;

	if (!check_atom(c))
		return false;
	name.size = (size_t)(c->pos - name.at);
	atom_text(name, &text, &size);
	return !memchr(text, '\0', size) && skip(c, numbers);
}

static bool check_ref(struct cursor *c, unsigned creation)
{
	uint32_t words;

	return take16(c, &words) && words > 0 && words <= TERM_MAX_REF_WORDS &&
	       check_node(c, creation + 4 * words);
}

static bool check_fixed(struct cursor *c, unsigned size)
{
	return skip(c, size);
}

/* As many octets as a count of 1, 2 or 4 octets says, and more of them. */
static bool check_octets8(struct cursor *c, unsigned more)
{
	uint32_t n;

	return take8(c, &n) && skip(c, (uint64_t)n + more);
}

static bool check_octets16(struct cursor *c, unsigned more)
{
	uint32_t n;

	return take16(c, &n) && skip(c, (uint64_t)n + more);
}

static bool check_octets32(struct cursor *c, unsigned more)
{
	uint32_t n;

	return take32(c, &n) && skip(c, (uint64_t)n + more);
}

static bool check_bits(struct cursor *c, unsigned unused)
{
	uint32_t size, bits;

	(void)unused;
	return take32(c, &size) && take8(c, &bits) && bits >= 1 && bits <= 8 &&
	       size > 0 && skip(c, size);
}

static bool check_float(struct cursor *c, unsigned unused)
{
	uint64_t bits;
	double value;

	(void)unused;
	if (left(c) < sizeof(value))
		return false;
	bits = (uint64_t)get32(c->pos) << 32 | get32(c->pos + 4);
	memcpy(&value, &bits, sizeof(value));
	return isfinite(value) && skip(c, sizeof(value));
}

/* What follows is n terms more; each takes an octet at least. */
static bool expect(struct cursor *c, uint64_t n)
{
	c->pending += n;
	return c->pending <= left(c);
}

static bool check_items(struct cursor *c, unsigned n)
{
	return expect(c, n);
}

static bool check_items8(struct cursor *c, unsigned more)
{
	uint32_t n;

	return take8(c, &n) && expect(c, (uint64_t)n + more);
}

static bool check_items32(struct cursor *c, unsigned more)
{
	uint32_t n;

	return take32(c, &n) && expect(c, (uint64_t)n + more);
}

static bool check_pairs32(struct cursor *c, unsigned unused)
{
	uint32_t n;

	(void)unused;
	return take32(c, &n) && expect(c, 2 * (uint64_t)n);
}

/* Size:32 Arity:8 Uniq:128 Index:32 NumFree:32, 4 terms, NumFree terms */
static bool check_new_fun(struct cursor *c, unsigned unused)
{
	(void)unused;
	return skip(c, 4 + 1 + 16 + 4) && check_items32(c, 4);
}

/*
 * What follows each tag; a term without the terms inside it, which are added
 * to pending. Not here are atom cache and compressed terms: never offered.
 */
static const struct {
	bool (*check)(struct cursor *c, unsigned n);
	unsigned n;
} forms[256] = {
	[ERL_SMALL_INTEGER_EXT] = { check_fixed, 1 },
	[ERL_INTEGER_EXT] = { check_fixed, 4 },
	[ERL_SMALL_BIG_EXT] = { check_octets8, 1 },
	[ERL_LARGE_BIG_EXT] = { check_octets32, 1 },
	[ERL_FLOAT_EXT] = { check_fixed, 31 },
	[NEW_FLOAT_EXT] = { check_float, 0 },
	[ERL_SMALL_ATOM_UTF8_EXT] = { check_small_atom, true },
	[ERL_SMALL_ATOM_EXT] = { check_small_atom, false },
	[ERL_ATOM_UTF8_EXT] = { check_long_atom, true },
	[ERL_ATOM_EXT] = { check_long_atom, false },
	[ERL_NIL_EXT] = { check_fixed, 0 },
	[ERL_STRING_EXT] = { check_octets16, 0 },
	[ERL_LIST_EXT] = { check_items32, 1 },
	[ERL_SMALL_TUPLE_EXT] = { check_items8, 0 },
	[ERL_LARGE_TUPLE_EXT] = { check_items32, 0 },
	[ERL_MAP_EXT] = { check_pairs32, 0 },
	[ERL_BINARY_EXT] = { check_octets32, 0 },
	[ERL_BIT_BINARY_EXT] = { check_bits, 0 },
	[ERL_NEW_PID_EXT] = { check_node, 4 + 4 + 4 },
	[ERL_PID_EXT] = { check_node, 4 + 4 + 1 },
	[ERL_NEWER_REFERENCE_EXT] = { check_ref, 4 },
	[ERL_NEW_REFERENCE_EXT] = { check_ref, 1 },
	[ERL_REFERENCE_EXT] = { check_node, 4 + 1 },
	[ERL_V4_PORT_EXT] = { check_node, 8 + 4 },
	[ERL_NEW_PORT_EXT] = { check_node, 4 + 4 },
	[ERL_PORT_EXT] = { check_node, 4 + 1 },
	[ERL_EXPORT_EXT] = { check_items, 3 },
	[ERL_NEW_FUN_EXT] = { check_new_fun, 0 },
	[ERL_FUN_EXT] = { check_items32, 4 },
};

ssize_t term_check(const char *buf, size_t size)
{
	struct cursor c = { .pos = buf, .end = buf + size, .pending = 1 };
	uint32_t tag;

	while (c.pending > 0) {
		c.pending--;
		if (!take8(&c, &tag) || !forms[tag].check ||
		    !forms[tag].check(&c, forms[tag].n))
			return -EBADMSG;
	}
	return c.pos - buf;
}
