/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The functions that libFuzzer calls, and those that it offers. */
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
			       unsigned seed);

/* A property that does not hold is a finding, like a bad access. */
#define REQUIRE(property)                                                      \
	((property) ? (void)0 : fuzz_fail(#property, __FILE__, __LINE__))

static inline void __attribute__((noreturn))
fuzz_fail(const char *property, const char *file, int line)
{
	fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, property);
	abort();
}

/* In a block of exactly that size, so that reading past its end is seen. */
static inline char *fuzz_copy(const void *data, size_t size)
{
	char *copy = malloc(size);

	REQUIRE(copy || size == 0);
	if (size > 0)
		memcpy(copy, data, size);
	return copy;
}

#endif
