/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TERM_H
#define TERM_H

#include <ei.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct account;

#define TERM_MAX_REF_WORDS 5

/*
 * A term in a packet, in the external format without a version byte. The bytes
 * are borrowed from the packet and live as long as it. Unless it says
 * otherwise, each function takes a term that passed term_check(), or a part of
 * one.
 */
struct term {
	const char *at;
	size_t size;
};

/* The elements of a tuple, list or map that are still unread. */
struct term_items {
	const char *pos;
	const char *end;
	uint32_t left;
	bool bytes; /* STRING_EXT: each byte is an element */
	bool list;
	bool unchecked; /* to be set for a term that term_check() has not seen
			 */
};

/* Whether a node may have that name: the text of an atom, without a NUL. */
bool term_is_node_name(const char *text, size_t size);

/*
 * The size of the term at buf if all of it is inside buf[0..size) and well
 * formed, else -EBADMSG. Uses no recursion, however deep the term.
 */
ssize_t term_check(const char *buf, size_t size);

/* The size of a term that was checked. */
size_t term_size(const char *buf);

/*
 * Opens a tuple, or a list in any of its three forms. False for any other
 * term. An unchecked term, as one that was cut short, may be opened too: with
 * items->unchecked set, each element is checked before it is read.
 */
bool term_tuple(struct term t, struct term_items *items);
bool term_list(struct term t, struct term_items *items);
/* Opens a map; term_next() returns its keys and values in turn. */
bool term_map(struct term t, struct term_items *items);

/* Reads up to max of the next elements; returns how many were read. */
uint32_t term_next_some(struct term_items *items, struct term *elements,
			uint32_t max);

/* Reads the next element; false: there is none, or it is not whole. */
static inline bool term_next(struct term_items *items, struct term *item)
{
	return items->left > 0 && term_next_some(items, item, 1) == 1;
}

/* Whether all elements were read, and a list is a proper one. */
bool term_end(const struct term_items *items);

/* The bytes still unread: elements and the tail of a list. */
struct term term_rest(const struct term_items *items);

/* Reads the elements of a tuple of exactly n. */
bool term_tuple_of(struct term t, struct term *elements, uint32_t n);

/* text must be ASCII, which is the same in all forms of an atom. */
bool term_is_text(struct term t, const char *text, size_t size);

/* Inlined, so that the length of a literal is a constant. */
static inline bool term_is_atom(struct term t, const char *name)
{
	size_t size = strlen(name);

	if (t.size > 0 && *t.at == ERL_SMALL_ATOM_UTF8_EXT)
		return t.size == 2 + size && memcmp(t.at + 2, name, size) == 0;
	return term_is_text(t, name, size);
}

bool term_is_any_atom(struct term t);
bool term_is_pid(struct term t);
bool term_is_ref(struct term t);
bool term_is_list(struct term t);

/*
 * False if the term is of another type or does not fit. A reference is read in
 * the one form that nodes have sent since OTP 19. The name of a pid's node is
 * borrowed, as the text of an atom is.
 */
bool term_read_ref(struct term t, erlang_ref *ref);
bool term_read_pid(struct term t, erlang_pid *pid);
bool term_read_pid_node(struct term t, const char **text, size_t *size);
bool term_read_uint32(struct term t, uint32_t *value);
bool term_read_uint64(struct term t, uint64_t *value);
/* An integer that is not negative; one of more bits reads as UINT64_MAX. */
bool term_read_amount(struct term t, uint64_t *value);
/*
 * Of an external fun: its module, function and arity. Of a local fun: the
 * module that defines it, and its arity.
 */
bool term_read_external_fun(struct term t, struct term mfa[3], uint32_t *arity);
bool term_read_local_fun(struct term t, struct term *module, uint32_t *arity);
/* Borrowed. An atom's text is UTF-8, or Latin-1 in the old forms. */
bool term_read_binary(struct term t, const char **data, size_t *size);
bool term_read_atom(struct term t, const char **text, size_t *size);

/*
 * Text from an atom, a binary or a list of characters, the last as UTF-8, with
 * a NUL at its end. False for any other term, for text that does not fit, and
 * for text with a NUL in it.
 */
bool term_read_text(struct term t, char *text, size_t size);

/*
 * A list of characters as at most max bytes of UTF-8, *size of them, without a
 * NUL at their end. False for any other term, and for one that does not fit.
 */
bool term_read_characters(struct term t, char *text, size_t max, size_t *size);

/* Whether it is a proper list of characters, of any length. */
bool term_is_characters(struct term t);

/*
 * Writes an integer I as size bytes in two's complement, in host byte order.
 * False unless -(2^(8*size-1)) =< I < 2^(8*size), and for size 0.
 */
bool term_read_bytes(struct term t, char *bytes, size_t size);

/*
 * A growing buffer of terms. Writing past limit, or running out of memory, sets
 * failed, and nothing more is written; term_writer_rewind() to an earlier
 * position makes the writer usable again.
 */
struct term_writer {
	char *buf;
	size_t pos;
	size_t capacity;
	size_t limit;
	bool failed;
	bool no_memory;          /* why it failed */
	struct account *account; /* the buffer counts on it; NULL: on none */
};

void term_writer_init(struct term_writer *w);
void term_writer_fini(struct term_writer *w);
void term_writer_rewind(struct term_writer *w, size_t pos);

void term_write_version(struct term_writer *w);
void term_write_tuple(struct term_writer *w, uint8_t arity);
/* The head of a list of n > 0 elements; term_write_nil() ends the list. */
void term_write_list(struct term_writer *w, int n);
void term_write_nil(struct term_writer *w);
/* A list or map whose number of elements or pairs is known only at its end. */
size_t term_write_list_open(struct term_writer *w);
void term_write_list_close(struct term_writer *w, size_t open, uint32_t n);
size_t term_write_map_open(struct term_writer *w);
void term_write_map_close(struct term_writer *w, size_t open, uint32_t n);
void term_write_atom(struct term_writer *w, const char *name);
void term_write_uint(struct term_writer *w, uint64_t value);
/* A key and its number, in a map. */
void term_write_entry(struct term_writer *w, const char *name, uint64_t value);
void term_write_binary(struct term_writer *w, const void *data, size_t size);
void term_write_ref(struct term_writer *w, const erlang_ref *ref);

/*
 * Appends size bytes for the caller to fill before the next write; NULL: the
 * writer has failed.
 */
static inline char *term_write_space(struct term_writer *w, size_t size);

/* Whether size more bytes stay within the limit. */
static inline bool term_write_fits(const struct term_writer *w, size_t size)
{
	return size <= w->limit && w->pos <= w->limit - size;
}

/* Makes the buffer large enough; false: the writer has failed. */
bool term_write_grow(struct term_writer *w, size_t size);

static inline bool term_write_reserve(struct term_writer *w, size_t size)
{
	return (!w->failed && size <= w->capacity - w->pos &&
		term_write_fits(w, size)) ||
	       term_write_grow(w, size);
}

static inline char *term_write_space(struct term_writer *w, size_t size)
{
	char *space;

	if (!term_write_reserve(w, size))
		return NULL;
	space = w->buf + w->pos;
	w->pos += size;
	return space;
}

static inline void term_write_raw(struct term_writer *w, const void *data,
				  size_t size)
{
	char *space = term_write_space(w, size);

	if (space)
		memcpy(space, data, size);
}

/* A received term, byte by byte. */
static inline void term_write_term(struct term_writer *w, struct term t)
{
	term_write_raw(w, t.at, t.size);
}

#endif
