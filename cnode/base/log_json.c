/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes a log line as a JSON object (RFC 8259). Peers control some of the
 * text: bytes that are not UTF-8 become U+FFFD; control characters, and
 * characters that hide or reorder text, become \u escapes. Text that is too
 * long is cut in the middle, since the ends of a path say most.
 */
#include "base/log_json.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define STRING_MAX 1536 /* of a field, escapes included */
#define CHARACTER_MAX 7 /* \uXXXX and a NUL */
#define LEAST 32        /* space for a value; with less, the key is left out */

static const char end_of_cut[] = ",\"truncated\":true}\n";
static const char dots[] = "...";

struct json {
	char *line;
	size_t pos;
	size_t size; /* without end_of_cut */
	bool cut;
};

/* --- Characters --------------------------------------------------------- */

#define NO_CHARACTER 0xfffd

/* Its size; where there is no valid character, 1, and *c is NO_CHARACTER. */
static size_t read_character(const char *text, uint32_t *c)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *s = (const unsigned char *)text;
	size_t size = s[0] < 0x80       ? 1
		      : s[0] >> 5 == 6  ? 2
		      : s[0] >> 4 == 14 ? 3
		      : s[0] >> 3 == 30 ? 4
					: 0;

	*c = size == 1 ? s[0] : s[0] & (0x7fu >> size);
	for (size_t i = 1; i < size; i++) {
		if (s[i] >> 6 != 2) /* this stops at the NUL, too */
			size = 0;
		else
			*c = *c << 6 | (s[i] & 0x3fu);
	}
	if (size > 0 && *c >= least[size] && *c <= 0x10ffff && *c >> 11 != 0x1b)
		return size;
	*c = NO_CHARACTER;
	return 1;
}

static bool is_to_escape(uint32_t c)
{
	return c < ' ' || (c >= 0x7f && c < 0xa0) || /* controls */
	       (c >= 0x200b && c <= 0x206f) || /* zero width, reordering */
	       c == 0x61c || c == 0xfeff || c == NO_CHARACTER;
}

/* Writes the next character of *text, escaped if need be; returns its size. */
static size_t write_character(char to[CHARACTER_MAX], const char **text)
{
	const char *from = *text;
	uint32_t c;
	size_t size = read_character(from, &c);

	*text += size;
	if (is_to_escape(c))
		return (size_t)snprintf(to, CHARACTER_MAX, "\\u%04x", c);
	if (c == '"' || c == '\\')
		return (size_t)snprintf(to, CHARACTER_MAX, "\\%c", (char)c);
	memcpy(to, from, size);
	return size;
}

/* --- Members ------------------------------------------------------------ */

static void put(struct json *j, const char *bytes, size_t size)
{
	memcpy(j->line + j->pos, bytes, size);
	j->pos += size;
}

static size_t written_size(const char *text)
{
	char character[CHARACTER_MAX];
	size_t size = 0;

	while (*text)
		size += write_character(character, &text);
	return size;
}

/* The line must have space for max bytes and the quotes. */
static void put_string(struct json *j, const char *text, size_t max)
{
	size_t size = written_size(text), at = 0, n;
	size_t half = (max - strlen(dots)) / 2;
	char character[CHARACTER_MAX];
	bool whole = size <= max, cut = false;

	put(j, "\"", 1);
	for (; *text; at += n) {
		n = write_character(character, &text);
		if (whole || at + n <= half || at + half >= size) {
			put(j, character, n);
		} else if (!cut) {
			put(j, dots, strlen(dots));
			cut = true;
		}
	}
	put(j, "\"", 1);
	j->cut = j->cut || cut;
}

/* Comma, key and colon; false: a value would not fit. */
static bool put_key(struct json *j, const char *key)
{
	size_t size = strlen(key);

	if (j->size - j->pos < size + 4 + LEAST) {
		j->cut = true;
		return false;
	}
	put(j, j->pos > 0 ? "," : "{", 1);
	put(j, "\"", 1);
	put(j, key, size);
	put(j, "\":", 2);
	return true;
}

static void put_text(struct json *j, const char *key, const char *text,
		     size_t max)
{
	size_t left;

	if (!put_key(j, key))
		return;
	left = j->size - j->pos - 2;
	put_string(j, text, left < max ? left : max);
}

static void put_number(struct json *j, const char *key, uint64_t number)
{
	char digits[LEAST];
	int n = snprintf(digits, sizeof(digits), "%llu",
			 (unsigned long long)number);

	if (put_key(j, key))
		put(j, digits, (size_t)n);
}

/* NOLINTNEXTLINE(readability-non-const-parameter): it is written to */
size_t log_json_line(char *line, size_t size, const struct log_json *object)
{
	struct json j = { .line = line,
			  .size = size - (sizeof(end_of_cut) - 1) };
	const struct log_field *field = object->fields->list;
	const struct log_field *end = field + object->fields->count;

	put_text(&j, "time", object->time, STRING_MAX);
	put_text(&j, "level", object->level, STRING_MAX);
	for (; field < end; field++)
		if (field->text)
			put_text(&j, field->key, field->text, STRING_MAX);
		else
			put_number(&j, field->key, field->number);
	put_text(&j, "message", object->message, size);
	if (j.cut)
		put(&j, end_of_cut, sizeof(end_of_cut) - 1);
	else
		put(&j, "}\n", 2);
	return j.pos;
}
