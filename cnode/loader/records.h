/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RECORDS_H
#define RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What goes in and comes out of the loader: a sequence of records. Either end
 * reads it with checks, as bytes of a stranger.
 */
#define RECORD_NO_FD UINT32_MAX

struct record {
	uint32_t kind;
	uint32_t fd; /* index of a descriptor sent along; RECORD_NO_FD */
	uint64_t number;
	const char *name; /* a string: no NUL within */
	const void *data;
	size_t size; /* of data */
};

/* All zero: empty. Once memory has run out or max is passed, failed is set, and
 * no_memory says why. */
struct records {
	char *bytes;
	size_t size;
	size_t capacity;
	size_t max; /* 0: no limit */
	bool failed;
	bool no_memory;
};

void records_add(struct records *records, const struct record *record);
void records_free(struct records *records);

/* The next one, from *at on, which advances; false at the end, and with *at
 * SIZE_MAX where the bytes are no records. */
bool records_next(const char *bytes, size_t size, size_t *at,
		  struct record *record);

#endif
