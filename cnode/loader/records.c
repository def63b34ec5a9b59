/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A record is a header, the name with its NUL, the data, and zeros up to a
 * multiple of eight bytes. Both ends are one program, so numbers go as they
 * are.
 */
#include "loader/records.h"

#include <stdlib.h>
#include <string.h>

#define ALIGNMENT 8u
#define FIRST_CAPACITY 4096u

struct header {
	uint32_t kind;
	uint32_t fd;
	uint64_t number;
	uint32_t name_size; /* with its NUL; 0: no name */
	uint32_t data_size;
};

static size_t padding(size_t size)
{
	return (ALIGNMENT - size % ALIGNMENT) % ALIGNMENT;
}

static bool reserve(struct records *records, size_t size)
{
	size_t capacity =
		records->capacity ? records->capacity : FIRST_CAPACITY;
	char *bytes;

	if (size > SIZE_MAX / 4 - records->size)
		return false;
	size += records->size;
	if (records->max > 0 && size > records->max)
		return false;
	while (capacity < size)
		capacity *= 2;
	if (capacity == records->capacity)
		return true;
	bytes = realloc(records->bytes, capacity);
	records->no_memory = !bytes;
	if (!bytes)
		return false;
	records->bytes = bytes;
	records->capacity = capacity;
	return true;
}

static void append(struct records *records, const void *bytes, size_t size)
{
	if (size > 0)
		memcpy(records->bytes + records->size, bytes, size);
	records->size += size;
}

void records_add(struct records *records, const struct record *record)
{
	static const char zeros[ALIGNMENT];
	size_t name = record->name ? strlen(record->name) + 1 : 0;
	struct header header = {
		.kind = record->kind,
		.fd = record->fd,
		.number = record->number,
		.name_size = (uint32_t)name,
		.data_size = (uint32_t)record->size,
	};
	size_t pad = padding(name + record->size);

	if (records->failed)
		return;
	if (name > UINT32_MAX / 4 || record->size > UINT32_MAX / 4 ||
	    !reserve(records, sizeof(header) + name + record->size + pad)) {
		records->failed = true;
		return;
	}
	append(records, &header, sizeof(header));
	append(records, record->name, name);
	append(records, record->data, record->size);
	append(records, zeros, pad);
}

void records_free(struct records *records)
{
	free(records->bytes);
	memset(records, 0, sizeof(*records));
}

/* The bytes of name and data lie within left, and the name is a string. */
static bool is_sound(const struct header *header, const char *behind,
		     size_t left)
{
	size_t name = header->name_size, data = header->data_size;

	if (name > left || data > left - name ||
	    padding(name + data) > left - name - data)
		return false;
	return name == 0 || memchr(behind, '\0', name) == behind + name - 1;
}

bool records_next(const char *bytes, size_t size, size_t *at,
		  struct record *record)
{
	struct header header;
	const char *behind;

	if (*at >= size)
		return false;
	behind = bytes + *at + sizeof(header);
	if (size - *at >= sizeof(header))
		memcpy(&header, bytes + *at, sizeof(header));
	if (size - *at < sizeof(header) ||
	    !is_sound(&header, behind, size - *at - sizeof(header))) {
		*at = SIZE_MAX;
		return false;
	}
	*record = (struct record){
		.kind = header.kind,
		.fd = header.fd,
		.number = header.number,
		.name = header.name_size > 0 ? behind : NULL,
		.data = header.data_size > 0 ? behind + header.name_size : NULL,
		.size = header.data_size,
	};
	*at += sizeof(header) + header.name_size + header.data_size +
	       padding((size_t)header.name_size + header.data_size);
	return true;
}
