/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes records, which a child of the loader sends: for any bytes, each record
 * lies within them, its name is a string, and written anew it reads the same.
 */
#include "fuzz.h"
#include "loader/records.h"

static void check_record(const char *bytes, size_t size, size_t at,
			 const struct record *record)
{
	const char *data = record->data;

	REQUIRE(at <= size);
	REQUIRE(!record->name ||
		(record->name > bytes && strlen(record->name) < size &&
		 record->name + strlen(record->name) < bytes + at));
	REQUIRE((record->size > 0) == (data != NULL));
	REQUIRE(!data || (data > bytes && record->size <= size &&
			  data + record->size <= bytes + at));
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static void check_written(const struct record *record)
{
	struct records records = { 0 };
	struct record read;
	char *copy;
	size_t at = 0;

	records_add(&records, record);
	REQUIRE(!records.failed);
	copy = fuzz_copy(records.bytes, records.size);
	REQUIRE(records_next(copy, records.size, &at, &read));
	REQUIRE(read.kind == record->kind && read.fd == record->fd &&
		read.number == record->number && read.size == record->size);
	REQUIRE(same_text(read.name, record->name));
	REQUIRE(read.size == 0 ||
		memcmp(read.data, record->data, read.size) == 0);
	REQUIRE(!records_next(copy, records.size, &at, &read));
	REQUIRE(at == records.size);
	free(copy);
	records_free(&records);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *bytes = fuzz_copy(data, size);
	struct record record;
	size_t at = 0;

	while (records_next(bytes, size, &at, &record)) {
		check_record(bytes, size, at, &record);
		check_written(&record);
	}
	REQUIRE(at == size || at == SIZE_MAX);
	free(bytes);
	return 0;
}
