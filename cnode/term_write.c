/* SPDX-License-Identifier: Apache-2.0 */
/* The writer of terms: a buffer that grows up to a limit, and ei's encoders. */
#include <stdlib.h>
#include <string.h>

#include "term.h"

#define WRITER_FIRST_CAPACITY 4096

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

/*
 * What ei needs for a tuple or list header, for a number, and around the text
 * of an atom, the node of a pid or of a reference: no more than that, so that
 * what is known to fit does fit.
 */
#define MAX_HEADER_SIZE 5
#define MAX_NUMBER_SIZE 11
#define ATOM_HEADER_SIZE 3
#define PID_HEADER_SIZE (1 + ATOM_HEADER_SIZE + 4 + 4 + 4)
#define REF_HEADER_SIZE (3 + ATOM_HEADER_SIZE + 4 + 4 * TERM_MAX_REF_WORDS)

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
