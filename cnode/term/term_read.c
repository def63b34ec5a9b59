/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads terms without copying them. Knows nothing of packets, sockets or maps.
 */
#include <string.h>

#include "term/term_bytes.h"

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
	items->bytes = tag_of(t) == ERL_STRING_EXT;
	items->list = !items->bytes;
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
	/* a pair takes at least two bytes, so doubling cannot overflow */
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
	return term_next_some(&items, elements, n) == n;
}

bool term_is_any_atom(struct term t)
{
	return t.size > 0 && is_atom_tag(*t.at);
}

bool term_read_atom(struct term t, const char **text, size_t *size)
{
	if (!term_is_any_atom(t))
		return false;
	atom_text(t, text, size);
	return true;
}

bool term_is_text(struct term t, const char *text, size_t size)
{
	const char *own;
	size_t own_size;

	return term_read_atom(t, &own, &own_size) && own_size == size &&
	       memcmp(own, text, size) == 0;
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

/* The atom that starts there, inside a term that was checked. */
static struct term atom_at(const char *at)
{
	return (struct term){ .at = at, .size = term_size(at) };
}

bool term_read_pid_node(struct term t, const char **text, size_t *size)
{
	return term_is_pid(t) && term_read_atom(atom_at(t.at + 1), text, size);
}

bool term_read_pid(struct term t, erlang_pid *pid)
{
	int index = 0;

	return term_is_pid(t) && ei_decode_pid(t.at, &index, pid) == 0;
}

/* Words:16, the node's name, Creation:32, the words */
bool term_read_ref(struct term t, erlang_ref *ref)
{
	struct term name;
	const char *text, *numbers;
	size_t size;

	if (tag_of(t) != ERL_NEWER_REFERENCE_EXT)
		return false;
	name = atom_at(t.at + 3);
	atom_text(name, &text, &size);
	memcpy(ref->node, text, size);
	ref->node[size] = '\0';
	numbers = text + size;
	ref->creation = get32(numbers);
	ref->len = (int)get16(t.at + 1);
	for (size_t i = 0; i < (size_t)ref->len; i++)
		ref->n[i] = get32(numbers + 4 + 4 * i);
	return true;
}

bool term_read_external_fun(struct term t, struct term mfa[3], uint32_t *arity)
{
	struct term_items items;

	if (tag_of(t) != ERL_EXPORT_EXT)
		return false;
	open_items(t, &items, 1, 3);
	return term_next_some(&items, mfa, 3) == 3 &&
	       term_is_any_atom(mfa[0]) && term_is_any_atom(mfa[1]) &&
	       term_read_uint32(mfa[2], arity);
}

/* Size:32 Arity:8 Uniq:128 Index:32 Free:32 Module ... */
bool term_read_local_fun(struct term t, struct term *module, uint32_t *arity)
{
	struct term_items items;

	if (tag_of(t) != ERL_NEW_FUN_EXT)
		return false;
	*arity = (unsigned char)t.at[5];
	open_items(t, &items, 1 + 4 + 1 + 16 + 4 + 4, 1);
	return term_next(&items, module) && term_is_any_atom(*module);
}

bool term_read_binary(struct term t, const char **data, size_t *size)
{
	if (tag_of(t) != ERL_BINARY_EXT)
		return false;
	*data = t.at + 5;
	*size = get32(t.at + 1);
	return true;
}

/* The magnitude of an integer, least significant byte first. */
struct magnitude {
	const unsigned char *bytes;
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
	m->bytes = m->small;
	m->size = sizeof(m->small);
}

static void read_big(struct magnitude *m, const char *sign, size_t size)
{
	m->negative = *sign != 0;
	m->bytes = (const unsigned char *)sign + 1;
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
	while (m->size > 0 && m->bytes[m->size - 1] == 0)
		m->size--;
	return true;
}

/* A negative number fits if its magnitude is at most 100...0 in binary. */
static bool fits_negative(const struct magnitude *m, size_t size)
{
	if (m->size < size || m->bytes[size - 1] < 0x80)
		return true;
	for (size_t i = 0; i < size - 1; i++)
		if (m->bytes[i] != 0)
			return false;
	return m->bytes[size - 1] == 0x80;
}

static void negate(unsigned char *bytes, size_t size)
{
	unsigned carry = 1;

	for (size_t i = 0; i < size; i++) {
		carry += (unsigned char)~bytes[i];
		bytes[i] = (unsigned char)carry;
		carry >>= 8;
	}
}

static void to_host_order(unsigned char *bytes, size_t size)
{
	if (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)
		return;
	for (size_t i = 0; i < size / 2; i++) {
		unsigned char swap = bytes[i];

		bytes[i] = bytes[size - 1 - i];
		bytes[size - 1 - i] = swap;
	}
}

bool term_read_bytes(struct term t, char *bytes, size_t size)
{
	unsigned char *out = (unsigned char *)bytes;
	struct magnitude m;

	if (size == 0 || !read_magnitude(t, &m) || m.size > size ||
	    (m.negative && !fits_negative(&m, size)))
		return false;
	memcpy(out, m.bytes, m.size);
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
		*value |= (uint64_t)m.bytes[i] << (8 * i);
	return true;
}

bool term_read_amount(struct term t, uint64_t *value)
{
	struct magnitude m;

	if (!read_magnitude(t, &m) || (m.negative && m.size > 0))
		return false;
	if (m.size > sizeof(*value)) {
		*value = UINT64_MAX;
		return true;
	}
	return term_read_uint64(t, value);
}

bool term_read_uint32(struct term t, uint32_t *value)
{
	uint64_t wide;

	if (tag_of(t) == ERL_SMALL_INTEGER_EXT) {
		*value = (unsigned char)t.at[1];
		return true;
	}
	if (!term_read_uint64(t, &wide) || wide > UINT32_MAX)
		return false;
	*value = (uint32_t)wide;
	return true;
}
