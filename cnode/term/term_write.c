/* SPDX-License-Identifier: Apache-2.0 */
/* Writes terms to a buffer that grows up to a limit, partly by ei's encoders.
 */
#include <string.h>

#include "base/budget.h"
#include "term/term_bytes.h"

#define WRITER_FIRST_CAPACITY 4096

void term_writer_init(struct term_writer *w)
{
	*w = (struct term_writer){ .limit = INT32_MAX };
}

void term_writer_fini(struct term_writer *w)
{
	struct account *account = w->account;

	budget_free(account, w->buf, w->capacity);
	term_writer_init(w);
	w->account = account;
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
	buf = budget_realloc(w->account, w->buf, w->capacity, capacity);
	if (!buf)
		return false;
	w->buf = buf;
	w->capacity = capacity;
	return true;
}

bool term_write_grow(struct term_writer *w, size_t size)
{
	if (w->failed)
		return false;
	if (!term_write_fits(w, size))
		w->failed = true;
	else if (w->pos + size > w->capacity && !grow(w, w->pos + size))
		w->failed = w->no_memory = true;
	return !w->failed;
}

/*
 * The exact maximum of bytes that ei writes for the header of a list or binary,
 * for a number, and around a reference's node. Exact, so that a term which is
 * known to fit is never refused.
 */
#define MAX_HEADER_SIZE 5
#define MAX_NUMBER_SIZE 11
#define ATOM_HEADER_SIZE 3
#define REF_HEADER_SIZE (3 + ATOM_HEADER_SIZE + 4 + 4 * TERM_MAX_REF_WORDS)

/* Encodes with one of ei's functions, which needs at most size bytes. */
#define ENCODE(w, size, function, ...)                                         \
	do {                                                                   \
		int index_;                                                    \
		if (!term_write_reserve(w, size))                              \
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

/* Headers of small terms are two bytes, not worth a call of ei. */
static void write_two(struct term_writer *w, char tag, uint8_t byte)
{
	char *space = term_write_space(w, 2);

	if (!space)
		return;
	space[0] = tag;
	space[1] = (char)byte;
}

void term_write_tuple(struct term_writer *w, uint8_t arity)
{
	write_two(w, ERL_SMALL_TUPLE_EXT, arity);
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
	if (!w->failed)
		put32(w->buf + open + 1, n);
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

/* At most 255 characters, but perhaps more bytes. */
static void write_long_atom(struct term_writer *w, const char *name,
			    size_t size)
{
	char *space = term_write_space(w, ATOM_HEADER_SIZE + size);

	if (!space)
		return;
	space[0] = ERL_ATOM_UTF8_EXT;
	space[1] = (char)(size >> 8);
	space[2] = (char)size;
	/* NOLINTNEXTLINE(bugprone-not-null-terminated-result): no string */
	memcpy(space + ATOM_HEADER_SIZE, name, size);
}

void term_write_atom(struct term_writer *w, const char *name)
{
	size_t size = strlen(name);
	char *space;

	if (size > UINT8_MAX) {
		write_long_atom(w, name, size);
		return;
	}
	space = term_write_space(w, 2 + size);
	if (!space)
		return;
	/* not by ei, which would decode and encode every character */
	space[0] = ERL_SMALL_ATOM_UTF8_EXT;
	space[1] = (char)size;
	/* NOLINTNEXTLINE(bugprone-not-null-terminated-result): no string */
	memcpy(space + 2, name, size);
}

void term_write_uint(struct term_writer *w, uint64_t value)
{
	if (value <= UINT8_MAX)
		write_two(w, ERL_SMALL_INTEGER_EXT, (uint8_t)value);
	else
		ENCODE(w, MAX_NUMBER_SIZE, ei_encode_ulonglong, value);
}

void term_write_entry(struct term_writer *w, const char *name, uint64_t value)
{
	term_write_atom(w, name);
	term_write_uint(w, value);
}

void term_write_binary(struct term_writer *w, const void *data, size_t size)
{
	ENCODE(w, MAX_HEADER_SIZE + size, ei_encode_binary, data, (long)size);
}

void term_write_ref(struct term_writer *w, const erlang_ref *ref)
{
	ENCODE(w, REF_HEADER_SIZE + strlen(ref->node), ei_encode_ref, ref);
}
