/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes terms: for any bytes, term_check() stays within them; and a term that
 * it accepts can be walked to its last part, with every reader tried on every
 * part, and is written back unchanged.
 */
#include <ei.h>
#include <stdbool.h>

#include "fuzz.h"
#include "term/term.h"

#define MAX_SIZE 2048 /* nesting makes it quadratic */
#define MAX_BYTES 20  /* in an integer */
#define MAX_TEXT 256

static struct term_writer w; /* shared, as it allocates much at once */

static bool is_checked(struct term t)
{
	return term_check(t.at, t.size) == (ssize_t)t.size;
}

/* --- One part, without those in it -------------------------------------- */

static void try_names(struct term t)
{
	const char *text;
	size_t size;

	term_is_list(t);
	term_is_atom(t, "ebpf_maps");
	REQUIRE(term_read_atom(t, &text, &size) == term_is_any_atom(t));
	if (!term_is_any_atom(t))
		return;
	REQUIRE(text >= t.at && text + size == t.at + t.size);
	term_write_term(&w, t);
	REQUIRE(w.pos == t.size && memcmp(w.buf, t.at, t.size) == 0);
	term_writer_rewind(&w, 0);
}

/* As node names are; ei writes other Latin-1 text as UTF-8. */
static bool is_ascii(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if ((unsigned char)text[i] >= 0x80)
			return false;
	return true;
}

static void try_fun(struct term t)
{
	struct term mfa[3];
	uint32_t arity;

	if (term_read_external_fun(t, mfa, &arity))
		REQUIRE(term_is_any_atom(mfa[0]) && term_is_any_atom(mfa[1]) &&
			mfa[2].at + mfa[2].size == t.at + t.size);
	if (term_read_local_fun(t, mfa, &arity))
		REQUIRE(arity < 256 && term_is_any_atom(mfa[0]));
}

static void try_pid(struct term t)
{
	const char *node;
	erlang_pid pid;
	size_t size;

	REQUIRE(term_read_pid(t, &pid) == term_is_pid(t));
	REQUIRE(term_read_pid_node(t, &node, &size) == term_is_pid(t));
	if (!term_is_pid(t))
		return;
	REQUIRE(memchr(pid.node, '\0', sizeof(pid.node)));
	REQUIRE(!memchr(node, '\0', size));
	if (is_ascii(node, size))
		REQUIRE(strlen(pid.node) == size &&
			memcmp(pid.node, node, size) == 0);
}

static void try_ref(struct term t)
{
	erlang_ref ref, again;
	struct term written;

	if (!term_read_ref(t, &ref))
		return;
	REQUIRE(term_is_ref(t));
	REQUIRE(ref.len > 0 && ref.len <= TERM_MAX_REF_WORDS);
	REQUIRE(memchr(ref.node, '\0', sizeof(ref.node)));
	if (!is_ascii(ref.node, strlen(ref.node)))
		return;
	term_write_ref(&w, &ref);
	written = (struct term){ w.buf, w.pos };
	REQUIRE(!w.failed && is_checked(written));
	REQUIRE(term_read_ref(written, &again));
	REQUIRE(again.len == ref.len && again.creation == ref.creation &&
		memcmp(again.n, ref.n, (size_t)ref.len * sizeof(ref.n[0])) ==
			0 &&
		strcmp(again.node, ref.node) == 0);
	term_writer_rewind(&w, 0);
}

static void try_binary(struct term t)
{
	const char *data;
	size_t size;

	if (term_read_binary(t, &data, &size))
		REQUIRE(data >= t.at && data + size == t.at + t.size);
}

/* A buffer of any size holds the text and its final NUL. */
static void try_text(struct term t)
{
	for (size_t size = 1; size <= MAX_TEXT; size *= 4) {
		char *text = malloc(size);

		if (term_read_text(t, text, size)) {
			REQUIRE(memchr(text, '\0', size));
			REQUIRE(!term_is_list(t) || term_is_characters(t));
		}
		free(text);
	}
}

/* All readers of integers agree on one. */
static void try_integer(struct term t)
{
	bool fits[MAX_BYTES + 1] = { false };
	uint64_t wide = 0, again;
	uint32_t narrow;
	char *bytes;

	for (size_t size = 0; size <= MAX_BYTES; size++) {
		bytes = malloc(size);
		fits[size] = term_read_bytes(t, bytes, size);
		if (fits[size] && size == sizeof(wide))
			memcpy(&wide, bytes, size);
		REQUIRE(!fits[size] || size > 0);
		REQUIRE(size < 2 || !fits[size - 1] || fits[size]);
		free(bytes);
	}
	if (!term_read_uint64(t, &again)) {
		REQUIRE(!term_read_uint32(t, &narrow));
		return;
	}
	REQUIRE(fits[sizeof(wide)] && wide == again);
	REQUIRE(term_read_uint32(t, &narrow) == (wide <= UINT32_MAX));
	REQUIRE(wide > UINT32_MAX || narrow == wide);
	term_write_uint(&w, wide);
	REQUIRE(!w.failed && is_checked((struct term){ w.buf, w.pos }));
	REQUIRE(term_read_uint64((struct term){ w.buf, w.pos }, &again));
	REQUIRE(again == wide);
	term_writer_rewind(&w, 0);
}

static void try_readers(struct term t)
{
	try_names(t);
	try_fun(t);
	try_pid(t);
	try_ref(t);
	try_binary(t);
	try_text(t);
	try_integer(t);
}

/* A term without parts: nothing after it is read. */
static void try_alone(struct term t)
{
	char *copy = fuzz_copy(t.at, t.size);
	struct term alone = { copy, t.size };

	REQUIRE(is_checked(alone));
	try_readers(alone);
	free(copy);
}

/* --- All parts ---------------------------------------------------------- */

/* Terms to visit: nesting must not use up the fuzzer's own stack. */
struct pile {
	struct term *terms;
	size_t count;
	size_t capacity;
};

static void push(struct pile *pile, struct term t)
{
	if (pile->count == pile->capacity) {
		pile->capacity = pile->capacity ? 2 * pile->capacity : 64;
		pile->terms = realloc(pile->terms,
				      pile->capacity * sizeof(*pile->terms));
		REQUIRE(pile->terms);
	}
	pile->terms[pile->count++] = t;
}

static bool open_any(struct term t, struct term_items *items)
{
	return term_tuple(t, items) || term_list(t, items) ||
	       term_map(t, items);
}

/* As many parts as it says, one after the other, and the tail of a list. */
static void push_parts(struct pile *pile, struct term t,
		       struct term_items items)
{
	const char *pos = items.pos;
	struct term part, rest;
	uint32_t n;

	for (n = items.left; n > 0; n--) {
		REQUIRE(term_next(&items, &part));
		REQUIRE(items.bytes || part.at == pos);
		pos = items.bytes ? pos + 1 : part.at + part.size;
		REQUIRE(pos <= t.at + t.size);
		if (!items.bytes)
			push(pile, part);
	}
	REQUIRE(!term_next(&items, &part));
	rest = term_rest(&items);
	REQUIRE(rest.at == pos && rest.at + rest.size == t.at + t.size);
	if (items.list && rest.at > t.at) /* that of [] is [] itself */
		push(pile, rest);
	else
		REQUIRE(term_end(&items) && rest.size == items.list);
}

static void walk(struct term t)
{
	struct pile pile = { .terms = NULL };
	struct term_items items;

	push(&pile, t);
	while (pile.count > 0) {
		t = pile.terms[--pile.count];
		if (open_any(t, &items)) {
			try_readers(t);
			push_parts(&pile, t, items);
		} else {
			try_alone(t);
		}
	}
	free(pile.terms);
}

/* A truncated term is invalid, but its whole parts can be read. */
static void cut_short(struct term t, size_t size)
{
	char *copy = fuzz_copy(t.at, size);
	struct term_items items;
	struct term part;

	REQUIRE(term_check(copy, size) < 0);
	if (open_any((struct term){ copy, size }, &items)) {
		items.unchecked = true;
		while (term_next(&items, &part))
			REQUIRE(items.bytes || is_checked(part));
		term_end(&items);
		term_rest(&items);
	}
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy;
	ssize_t checked;

	if (size > MAX_SIZE)
		return 0;
	if (!w.limit)
		term_writer_init(&w);
	copy = fuzz_copy(data, size);
	checked = term_check(copy, size);
	REQUIRE(checked < 0 || (checked > 0 && (size_t)checked <= size));
	if (checked > 0) {
		struct term t = { copy, (size_t)checked };

		walk(t);
		for (size_t cut = 0; cut < t.size; cut += 1 + t.size / 16)
			cut_short(t, cut);
	}
	free(copy);
	return 0;
}
