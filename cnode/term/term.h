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
 * A term as it stands in a packet, in the external format without a version
 * byte. The bytes are borrowed: a term is good as long as its packet is.
 * Every function below takes a term that term_check() was content with, or a
 * part of one; where that is not so it says it.
 */
struct term {
	const char *at;
	size_t size;
};

/* The elements of a tuple or of a list that are still to come. */
struct term_items {
	const char *pos;
	const char *end;
	uint32_t left;
	bool bytes; /* STRING_EXT: each byte is an element */
	bool list;
	bool unchecked; /* set by who opened what term_check() has not seen */
};

/* Whether a node can have that name: an atom's text, without a NUL. */
bool term_is_node_name(const char *text, size_t size);

/*
 * The size of the term at buf when all its parts are inside buf[0..size) and
 * well formed, else -EBADMSG. Needs no stack, however deep the term.
 */
ssize_t term_check(const char *buf, size_t size);

/* The same of a term that was checked; what is in it is not looked at. */
size_t term_size(const char *buf);

/*
 * Opens a tuple, or a list in any of its three forms. False for any other
 * term. A term that was cut short, and so was not checked, can be opened too:
 * with unchecked set, the elements are checked one by one, and those that are
 * whole can be read.
 */
bool term_tuple(struct term t, struct term_items *items);
bool term_list(struct term t, struct term_items *items);
/* Opens a map, of which term_next() gives keys and values in turn. */
bool term_map(struct term t, struct term_items *items);

/* As many of the next elements as there are, up to max; their number. */
uint32_t term_next_some(struct term_items *items, struct term *elements,
			uint32_t max);

/* The next element, which is whole; false at the end, or where it is not. */
static inline bool term_next(struct term_items *items, struct term *item)
{
	return items->left > 0 && term_next_some(items, item, 1) == 1;
}

/* All elements were read, and a list ended as a proper list does. */
bool term_end(const struct term_items *items);

/* What is still to come, as it stands: elements and the end of a list. */
struct term term_rest(const struct term_items *items);

/* Opens a tuple of just n elements and reads them. */
bool term_tuple_of(struct term t, struct term *elements, uint32_t n);

/* The size bytes of text are of ASCII, which all forms of an atom spell alike.
 */
bool term_is_text(struct term t, const char *text, size_t size);

/* Inlined: the length of a literal costs nothing then, nor does a mismatch. */
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
 * False if the term is of another kind or does not fit. A reference is read in
 * the one form that nodes have for it since OTP 19; the name of a pid's node
 * is borrowed, as the text of an atom is.
 */
bool term_read_ref(struct term t, erlang_ref *ref);
bool term_read_pid(struct term t, erlang_pid *pid);
bool term_read_pid_node(struct term t, const char **text, size_t *size);
bool term_read_uint32(struct term t, uint32_t *value);
bool term_read_uint64(struct term t, uint64_t *value);
/*
 * A fun: of one that is external its module, function and arity; of one that is
 * local the module that has its code, and how many arguments it takes.
 */
bool term_read_external_fun(struct term t, struct term mfa[3], uint32_t *arity);
bool term_read_local_fun(struct term t, struct term *module, uint32_t *arity);
/* Borrowed; an atom's text is of UTF-8, or of Latin-1 in its old forms. */
bool term_read_binary(struct term t, const char **data, size_t *size);
bool term_read_atom(struct term t, const char **text, size_t *size);

/*
 * Text from an atom, a binary or a list of characters, the last as UTF-8, with
 * a NUL at its end. False for any other term, for text that does not fit, and
 * for text with a NUL in it.
 */
bool term_read_text(struct term t, char *text, size_t size);

/* Whether it is a proper list of characters, of any length. */
bool term_is_characters(struct term t);

/*
 * An integer I, as size bytes in two's complement and host byte order.
 * False unless -(2^(8*size-1)) =< I < 2^(8*size), and for size 0.
 */
bool term_read_bytes(struct term t, char *bytes, size_t size);

/*
 * A growing buffer of terms. Writing past limit, or running out of memory,
 * sets failed, and nothing is written from then on; writer_rewind() to a
 * position from before makes it usable again.
 */
struct term_writer {
	char *buf;
	size_t pos;
	size_t capacity;
	size_t limit;
	bool failed;
	bool no_memory;          /* that is why */
	struct account *account; /* of the buffer; NULL: it counts nowhere */
};

void term_writer_init(struct term_writer *w);
void term_writer_fini(struct term_writer *w);
void term_writer_rewind(struct term_writer *w, size_t pos);

void term_write_version(struct term_writer *w);
void term_write_tuple(struct term_writer *w, uint8_t arity);
/* A list of n > 0 elements; term_write_nil() ends it. */
void term_write_list(struct term_writer *w, int n);
void term_write_nil(struct term_writer *w);
/* A list, or a map, whose count of elements, or of pairs, is known at its end
 */
size_t term_write_list_open(struct term_writer *w);
void term_write_list_close(struct term_writer *w, size_t open, uint32_t n);
size_t term_write_map_open(struct term_writer *w);
void term_write_map_close(struct term_writer *w, size_t open, uint32_t n);
void term_write_atom(struct term_writer *w, const char *name);
void term_write_uint(struct term_writer *w, uint64_t value);
/* A name and its number, as they stand in a map. */
void term_write_entry(struct term_writer *w, const char *name, uint64_t value);
void term_write_binary(struct term_writer *w, const void *data, size_t size);
void term_write_ref(struct term_writer *w, const erlang_ref *ref);

/*
 * Room for size more bytes at the end, to be filled by the caller before the
 * next write; or NULL.
 */
static inline char *term_write_space(struct term_writer *w, size_t size);

/* Whether size more bytes are within the limit. */
static inline bool term_write_fits(const struct term_writer *w, size_t size)
{
	return size <= w->limit && w->pos <= w->limit - size;
}

/* Has the buffer grow; false when nothing more can be written. */
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

/* A term that came in, to the byte. */
static inline void term_write_term(struct term_writer *w, struct term t)
{
	term_write_raw(w, t.at, t.size);
}

#endif
