/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Terms in the external format: a checker for bytes from a peer, a reader that
 * borrows from them and a writer whose failure sticks. ei decodes and encodes;
 * what stands here is what ei does not have: the end of the buffer. Knows
 * nothing of packets, sockets and maps.
 */
#include "term.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ATOM_CHARACTERS 255
#define MAX_REF_WORDS 5
#define WRITER_FIRST_CAPACITY 4096

static uint16_t get16(const char *s)
{
	const unsigned char *u = (const unsigned char *)s;

	return (uint16_t)(u[0] << 8 | u[1]);
}

static uint32_t get32(const char *s)
{
	const unsigned char *u = (const unsigned char *)s;

	return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 |
	       (uint32_t)u[2] << 8 | u[3];
}

/* --- Checking ----------------------------------------------------------- */

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

static bool check_utf8(const char *text, size_t size)
{
	size_t characters = 0;
	size_t n;

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

/* The text of an atom that was checked, whose tag says how long its length is
 */
static void atom_text(struct term t, const char **text, size_t *size)
{
	size_t header =
		*t.at == ERL_SMALL_ATOM_UTF8_EXT || *t.at == ERL_SMALL_ATOM_EXT
			? 2
			: 3;

	*text = t.at + header;
	*size = t.size - header;
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

	return take16(c, &words) && words > 0 && words <= MAX_REF_WORDS &&
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

/* --- Reading ------------------------------------------------------------ */

static unsigned char tag_of(struct term t)
{
	return t.size > 0 ? (unsigned char)*t.at : 0;
}

static void open_items(struct term t, struct term_items *items, size_t header,
		       uint32_t n)
{
	*items = (struct term_items){
		.pos = t.at + header,
		.end = t.at + t.size,
		.left = n,
	};
}

bool term_tuple(struct term t, struct term_items *items)
{
	if (tag_of(t) == ERL_SMALL_TUPLE_EXT && t.size >= 2)
		open_items(t, items, 2, (unsigned char)t.at[1]);
	else if (tag_of(t) == ERL_LARGE_TUPLE_EXT && t.size >= 5)
		open_items(t, items, 5, get32(t.at + 1));
	else
		return false;
	return true;
}

bool term_list(struct term t, struct term_items *items)
{
	if (tag_of(t) == ERL_NIL_EXT)
		open_items(t, items, 0, 0);
	else if (tag_of(t) == ERL_LIST_EXT && t.size >= 5)
		open_items(t, items, 5, get32(t.at + 1));
	else if (tag_of(t) == ERL_STRING_EXT && t.size >= 3)
		open_items(t, items, 3, get16(t.at + 1));
	else
		return false;
	items->octets = tag_of(t) == ERL_STRING_EXT;
	items->list = !items->octets;
	return true;
}

/* SMALL_INTEGER_EXT 0, 1, ... 255: what the octets of a string stand for. */
#define I1(n)                                                                  \
	{                                                                      \
		ERL_SMALL_INTEGER_EXT, (char)(n)                               \
	}
#define I4(n) I1(n), I1((n) + 1), I1((n) + 2), I1((n) + 3)
#define I16(n) I4(n), I4((n) + 4), I4((n) + 8), I4((n) + 12)
#define I64(n) I16(n), I16((n) + 16), I16((n) + 32), I16((n) + 48)
static const char small_integers[256][2] = { I64(0), I64(64), I64(128),
					     I64(192) };

bool term_next(struct term_items *items, struct term *item)
{
	size_t available = (size_t)(items->end - items->pos);
	ssize_t size;

	if (items->left == 0 || available == 0)
		return false;
	if (items->octets) {
		item->at = small_integers[(unsigned char)*items->pos++];
		item->size = sizeof(small_integers[0]);
	} else {
		size = term_check(items->pos, available);
		if (size < 0)
			return false;
		item->at = items->pos;
		item->size = (size_t)size;
		items->pos += size;
	}
	items->left--;
	return true;
}

bool term_end(const struct term_items *items)
{
	return items->left == 0 &&
	       (!items->list ||
		(items->pos < items->end && *items->pos == ERL_NIL_EXT));
}

struct term term_rest(const struct term_items *items)
{
	return (struct term){ items->pos, (size_t)(items->end - items->pos) };
}

bool term_map(struct term t, struct term_items *items)
{
	if (tag_of(t) != ERL_MAP_EXT || t.size < 5)
		return false;
	/* a pair takes two octets at least, so that this cannot overflow */
	open_items(t, items, 5, get32(t.at + 1));
	if (items->left > (t.size - 5) / 2)
		return false;
	items->left *= 2;
	return true;
}

bool term_tuple_of(struct term t, struct term *elements, uint32_t n)
{
	struct term_items items;

	if (!term_tuple(t, &items) || items.left != n)
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (!term_next(&items, &elements[i]))
			return false;
	return true;
}

bool term_is_any_atom(struct term t)
{
	switch (tag_of(t)) {
	case ERL_SMALL_ATOM_UTF8_EXT:
	case ERL_ATOM_UTF8_EXT:
	case ERL_SMALL_ATOM_EXT:
	case ERL_ATOM_EXT:
		return true;
	default:
		return false;
	}
}

bool term_read_atom(struct term t, const char **text, size_t *size)
{
	if (!term_is_any_atom(t))
		return false;
	atom_text(t, text, size);
	return true;
}

bool term_is_atom(struct term t, const char *name)
{
	const char *text;
	size_t size;

	return term_read_atom(t, &text, &size) && size == strlen(name) &&
	       memcmp(text, name, size) == 0;
}

bool term_is_pid(struct term t)
{
	return tag_of(t) == ERL_NEW_PID_EXT || tag_of(t) == ERL_PID_EXT;
}

bool term_is_ref(struct term t)
{
	return tag_of(t) == ERL_NEWER_REFERENCE_EXT ||
	       tag_of(t) == ERL_NEW_REFERENCE_EXT ||
	       tag_of(t) == ERL_REFERENCE_EXT;
}

bool term_is_list(struct term t)
{
	return tag_of(t) == ERL_NIL_EXT || tag_of(t) == ERL_LIST_EXT ||
	       tag_of(t) == ERL_STRING_EXT;
}

bool term_read_pid(struct term t, erlang_pid *pid)
{
	int index = 0;

	return term_is_pid(t) && ei_decode_pid(t.at, &index, pid) == 0;
}

bool term_read_ref(struct term t, erlang_ref *ref)
{
	int index = 0;

	return term_is_ref(t) && ei_decode_ref(t.at, &index, ref) == 0;
}

bool term_read_binary(struct term t, const char **data, size_t *size)
{
	if (tag_of(t) != ERL_BINARY_EXT)
		return false;
	*data = t.at + 5;
	*size = get32(t.at + 1);
	return true;
}

/* The magnitude of an integer, least significant octet first. */
struct magnitude {
	const unsigned char *octets;
	size_t size;
	bool negative;
	unsigned char small[4];
};

static void read_small(struct magnitude *m, int32_t value)
{
	uint32_t absolute = value < 0 ? -(uint32_t)value : (uint32_t)value;

	m->negative = value < 0;
	for (size_t i = 0; i < sizeof(m->small); i++)
		m->small[i] = (unsigned char)(absolute >> (8 * i));
	m->octets = m->small;
	m->size = sizeof(m->small);
}

static void read_big(struct magnitude *m, const char *sign, size_t size)
{
	m->negative = *sign != 0;
	m->octets = (const unsigned char *)sign + 1;
	m->size = size;
}

static bool read_magnitude(struct term t, struct magnitude *m)
{
	switch (tag_of(t)) {
	case ERL_SMALL_INTEGER_EXT:
		read_small(m, (unsigned char)t.at[1]);
		break;
	case ERL_INTEGER_EXT:
		read_small(m, (int32_t)get32(t.at + 1));
		break;
	case ERL_SMALL_BIG_EXT:
		read_big(m, t.at + 2, (unsigned char)t.at[1]);
		break;
	case ERL_LARGE_BIG_EXT:
		read_big(m, t.at + 5, get32(t.at + 1));
		break;
	default:
		return false;
	}
	while (m->size > 0 && m->octets[m->size - 1] == 0)
		m->size--;
	return true;
}

/* A negative number fits while its magnitude is at most 100...0 in binary. */
static bool fits_negative(const struct magnitude *m, size_t size)
{
	if (m->size < size || m->octets[size - 1] < 0x80)
		return true;
	for (size_t i = 0; i < size - 1; i++)
		if (m->octets[i] != 0)
			return false;
	return m->octets[size - 1] == 0x80;
}

static void negate(unsigned char *octets, size_t size)
{
	unsigned carry = 1;

	for (size_t i = 0; i < size; i++) {
		carry += (unsigned char)~octets[i];
		octets[i] = (unsigned char)carry;
		carry >>= 8;
	}
}

static void to_host_order(unsigned char *octets, size_t size)
{
	if (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)
		return;
	for (size_t i = 0; i < size / 2; i++) {
		unsigned char swap = octets[i];

		octets[i] = octets[size - 1 - i];
		octets[size - 1 - i] = swap;
	}
}

bool term_read_octets(struct term t, char *octets, size_t size)
{
	unsigned char *out = (unsigned char *)octets;
	struct magnitude m;

	if (size == 0 || !read_magnitude(t, &m) || m.size > size ||
	    (m.negative && !fits_negative(&m, size)))
		return false;
	memcpy(out, m.octets, m.size);
	memset(out + m.size, 0, size - m.size);
	if (m.negative)
		negate(out, size);
	to_host_order(out, size);
	return true;
}

bool term_read_uint64(struct term t, uint64_t *value)
{
	struct magnitude m;

	if (!read_magnitude(t, &m) || (m.negative && m.size > 0) ||
	    m.size > sizeof(*value))
		return false;
	*value = 0;
	for (size_t i = 0; i < m.size; i++)
		*value |= (uint64_t)m.octets[i] << (8 * i);
	return true;
}

bool term_read_uint32(struct term t, uint32_t *value)
{
	uint64_t wide;

	if (!term_read_uint64(t, &wide) || wide > UINT32_MAX)
		return false;
	*value = (uint32_t)wide;
	return true;
}

/* --- Writing ------------------------------------------------------------ */

void term_writer_init(struct term_writer *w)
{
	*w = (struct term_writer){ .limit = INT32_MAX };
}

void term_writer_fini(struct term_writer *w)
{
	free(w->buf);
	term_writer_init(w);
}

void term_writer_rewind(struct term_writer *w, size_t pos)
{
	w->pos = pos;
	w->failed = w->no_memory = false;
}

static bool grow(struct term_writer *w, size_t wanted)
{
	size_t capacity = w->capacity ? w->capacity : WRITER_FIRST_CAPACITY;
	char *buf;

	while (capacity < wanted)
		capacity *= 2;
	buf = realloc(w->buf, capacity);
	if (!buf)
		return false;
	w->buf = buf;
	w->capacity = capacity;
	return true;
}

bool term_write_fits(const struct term_writer *w, size_t size)
{
	return size <= w->limit && w->pos <= w->limit - size;
}

static bool reserve(struct term_writer *w, size_t size)
{
	if (w->failed)
		return false;
	if (!term_write_fits(w, size))
		w->failed = true;
	else if (w->pos + size > w->capacity && !grow(w, w->pos + size))
		w->failed = w->no_memory = true;
	return !w->failed;
}

char *term_write_space(struct term_writer *w, size_t size)
{
	char *space;

	if (!reserve(w, size))
		return NULL;
	space = w->buf + w->pos;
	w->pos += size;
	return space;
}

char *term_write_binary_space(struct term_writer *w, size_t size)
{
	char *space;

	if (size > UINT32_MAX)
		w->failed = true;
	space = term_write_space(w, 5 + size);
	if (!space)
		return NULL;
	space[0] = ERL_BINARY_EXT;
	for (int i = 0; i < 4; i++)
		space[1 + i] = (char)(size >> (8 * (3 - i)));
	return space + 5;
}

/*
 * What ei needs for a tuple or list header, for a number, and around the text
 * of an atom, the node of a pid or of a reference: no more than that, so that
 * what is known to fit does fit.
 */
#define MAX_HEADER_SIZE 5
#define MAX_NUMBER_SIZE 11
#define ATOM_HEADER_SIZE 3
#define PID_HEADER_SIZE (1 + ATOM_HEADER_SIZE + 4 + 4 + 4)
#define REF_HEADER_SIZE (3 + ATOM_HEADER_SIZE + 4 + 4 * MAX_REF_WORDS)

/* Encodes with one of ei's functions, which needs at most size octets. */
#define ENCODE(w, size, function, ...)                                         \
	do {                                                                   \
		int index_;                                                    \
		if (!reserve(w, size))                                         \
			return;                                                \
		index_ = (int)(w)->pos;                                        \
		if (function((w)->buf, &index_, __VA_ARGS__) < 0)              \
			(w)->failed = true;                                    \
		else                                                           \
			(w)->pos = (size_t)index_;                             \
	} while (0)

void term_write_version(struct term_writer *w)
{
	char *space = term_write_space(w, 1);

	if (space)
		*space = (char)131;
}

void term_write_tuple(struct term_writer *w, int arity)
{
	ENCODE(w, MAX_HEADER_SIZE, ei_encode_tuple_header, arity);
}

void term_write_list(struct term_writer *w, int n)
{
	ENCODE(w, MAX_HEADER_SIZE, ei_encode_list_header, n);
}

void term_write_nil(struct term_writer *w)
{
	ENCODE(w, MAX_HEADER_SIZE, ei_encode_list_header, 0);
}

static size_t write_open(struct term_writer *w, char tag)
{
	const char header[MAX_HEADER_SIZE] = { tag };
	size_t open = w->pos;

	term_write_raw(w, header, sizeof(header));
	return open;
}

static void patch_count(struct term_writer *w, size_t open, uint32_t n)
{
	if (w->failed)
		return;
	for (int i = 0; i < 4; i++)
		w->buf[open + 1 + (size_t)i] = (char)(n >> (8 * (3 - i)));
}

size_t term_write_list_open(struct term_writer *w)
{
	return write_open(w, ERL_LIST_EXT);
}

void term_write_list_close(struct term_writer *w, size_t open, uint32_t n)
{
	patch_count(w, open, n);
	term_write_nil(w);
}

size_t term_write_map_open(struct term_writer *w)
{
	return write_open(w, ERL_MAP_EXT);
}

void term_write_map_close(struct term_writer *w, size_t open, uint32_t n)
{
	patch_count(w, open, n);
}

void term_write_atom(struct term_writer *w, const char *name)
{
	ENCODE(w, ATOM_HEADER_SIZE + strlen(name), ei_encode_atom_as, name,
	       ERLANG_UTF8, ERLANG_UTF8);
}

void term_write_uint(struct term_writer *w, uint64_t value)
{
	ENCODE(w, MAX_NUMBER_SIZE, ei_encode_ulonglong, value);
}

void term_write_binary(struct term_writer *w, const void *data, size_t size)
{
	ENCODE(w, MAX_HEADER_SIZE + size, ei_encode_binary, data, (long)size);
}

void term_write_pid(struct term_writer *w, const erlang_pid *pid)
{
	ENCODE(w, PID_HEADER_SIZE + strlen(pid->node), ei_encode_pid, pid);
}

void term_write_ref(struct term_writer *w, const erlang_ref *ref)
{
	ENCODE(w, REF_HEADER_SIZE + strlen(ref->node), ei_encode_ref, ref);
}

void term_write_raw(struct term_writer *w, const void *data, size_t size)
{
	char *space = term_write_space(w, size);

	if (space)
		memcpy(space, data, size);
}

void term_write_term(struct term_writer *w, struct term t)
{
	term_write_raw(w, t.at, t.size);
}
