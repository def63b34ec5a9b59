/* SPDX-License-Identifier: Apache-2.0 */
#include "tls/cert_names.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PATTERN 512

static bool is_plain(const unsigned char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (text[i] < ' ' || text[i] == 127)
			return false;
	return size > 0;
}

static bool append(struct cert_names *names, const void *bytes, size_t size)
{
	char *more;

	if (size > CERT_NAMES_MAX - names->size)
		return false;
	more = realloc(names->bytes, names->size + size);
	if (!more)
		return false;
	memcpy(more + names->size, bytes, size);
	names->bytes = more;
	names->size += size;
	return true;
}

static void to_lower(char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (text[i] >= 'A' && text[i] <= 'Z')
			text[i] += 'a' - 'A';
}

bool cert_names_add(struct cert_names *names, const char *kind,
		    const void *text, size_t size)
{
	if (!is_plain(text, size))
		return true;
	if (!append(names, kind, strlen(kind)) || !append(names, ":", 1) ||
	    !append(names, text, size) || !append(names, "", 1))
		return false;
	if (strcmp(kind, "DNS") == 0)
		to_lower(names->bytes + names->size - size - 1, size);
	return true;
}

bool cert_names_copy(struct cert_names *to, const void *bytes, size_t size)
{
	*to = (struct cert_names){ .bytes = NULL };
	return size == 0 || append(to, bytes, size);
}

void cert_names_free(struct cert_names *names)
{
	free(names->bytes);
	*names = (struct cert_names){ .bytes = NULL };
}

const char *cert_names_next(const struct cert_names *names, const char *name)
{
	const char *next = name ? name + strlen(name) + 1 : names->bytes;

	return next && next < names->bytes + names->size ? next : NULL;
}

static bool has(const struct cert_names *names, const char *wanted)
{
	const char *name = NULL;

	while ((name = cert_names_next(names, name)))
		if (strcmp(name, wanted) == 0)
			return true;
	return false;
}

bool cert_names_share(const struct cert_names *a, const struct cert_names *b)
{
	const char *name = NULL;

	while ((name = cert_names_next(a, name)))
		if (has(b, name))
			return true;
	return false;
}

/* With / for each dot fnmatch(3) can be asked to keep to one part. */
static bool to_path(char path[MAX_PATTERN], const char *text)
{
	size_t size = strlen(text);

	if (size >= MAX_PATTERN || strchr(text, '/'))
		return false;
	memcpy(path, text, size + 1);
	for (char *at = path; (at = strchr(at, '.'));)
		*at = '/';
	return true;
}

bool cert_names_is_pattern(const char *kind, const char *pattern)
{
	char path[MAX_PATTERN];
	const char *open = pattern;

	if (strcmp(kind, "DNS") != 0)
		return true;
	while ((open = strchr(open, '['))) {
		if (strcspn(open, "]") > strcspn(open, "."))
			return false;
		open++;
	}
	return to_path(path, pattern);
}

static bool matches_dns(const char *pattern, const char *text)
{
	char pattern_path[MAX_PATTERN], path[MAX_PATTERN];

	return to_path(pattern_path, pattern) && to_path(path, text) &&
	       fnmatch(pattern_path, path, FNM_PATHNAME | FNM_CASEFOLD) == 0;
}

bool cert_names_match(const struct cert_names *names, const char *kind,
		      const char *pattern)
{
	bool is_dns = strcmp(kind, "DNS") == 0;
	size_t size = strlen(kind);
	const char *name = NULL, *text;

	while ((name = cert_names_next(names, name))) {
		if (strncmp(name, kind, size) != 0 || name[size] != ':')
			continue;
		text = name + size + 1;
		if (is_dns ? matches_dns(pattern, text)
			   : fnmatch(pattern, text, 0) == 0)
			return true;
	}
	return false;
}

/* Its size without the NUL; what is between names is not in one of them. */
static size_t escaped(const char *name, char *to)
{
	size_t size = 0;

	for (; *name; name++) {
		if (strchr(" ,%", *name)) {
			if (to)
				snprintf(to + size, 4, "%%%02X", *name);
			size += 3;
		} else {
			if (to)
				to[size] = *name;
			size++;
		}
	}
	if (to)
		to[size] = '\0';
	return size;
}

void cert_names_format(const struct cert_names *names, char *text, size_t size)
{
	static const char more[] = ",...";
	const char *name = NULL;
	size_t used = 0, length;

	text[0] = '\0';
	while ((name = cert_names_next(names, name))) {
		length = escaped(name, NULL) + (used > 0);
		if (used + length + sizeof(more) > size) {
			if (used + sizeof(more) <= size)
				memcpy(text + used, more, sizeof(more));
			return;
		}
		if (used > 0)
			text[used++] = ',';
		used += escaped(name, text + used);
	}
}
