/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NUMBERS_H
#define NUMBERS_H

#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "types/plan_internal.h"

/*
 * Numbers in the bytes of a key or value, in host order unless it says
 * otherwise. Shared by the files that decode, encode and fold; private to them.
 */

/* Two's complement: of 128 bits, and the sign of what may be wider. */
struct number {
	uint64_t low;
	uint64_t high;
	uint64_t top; /* 0, or ~0 of a negative number; a sum may carry here */
};

#define NUMBERS_LITTLE (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)

static inline uint64_t numbers_load(const char *at, uint32_t size)
{
	uint64_t wide;
	uint32_t word;
	uint16_t half;

	switch (size) {
	case 1:
		return (unsigned char)*at;
	case 2:
		memcpy(&half, at, sizeof(half));
		return half;
	case 4:
		memcpy(&word, at, sizeof(word));
		return word;
	default:
		memcpy(&wide, at, sizeof(wide));
		return wide;
	}
}

static inline void numbers_store(char *at, uint32_t size, uint64_t value)
{
	uint32_t word = (uint32_t)value;
	uint16_t half = (uint16_t)value;

	switch (size) {
	case 1:
		*at = (char)value;
		break;
	case 2:
		memcpy(at, &half, sizeof(half));
		break;
	case 4:
		memcpy(at, &word, sizeof(word));
		break;
	default:
		memcpy(at, &value, sizeof(value));
	}
}

/* The low bits of value, 1 to 64 of them, as a signed number. */
static inline uint64_t numbers_extend(uint64_t value, unsigned bits)
{
	unsigned unused = 64 - bits;

	return (uint64_t)((int64_t)(value << unused) >> unused);
}

/* From network to host order, or back. */
static inline uint64_t numbers_swap(uint64_t value, uint32_t size)
{
	return NUMBERS_LITTLE ? __builtin_bswap64(value) >> (64 - 8 * size)
			      : value;
}

/*
 * A bit-field of 1 to 64 bits that starts shift < 8 bits behind at: from the
 * low end of the first byte on little-endian hosts, from the high end on
 * others. It may lie in nine bytes.
 */
static inline uint64_t numbers_load_bits(const char *at, unsigned shift,
					 unsigned bits)
{
	const unsigned char *bytes = (const unsigned char *)at;
	unsigned size = (shift + bits + 7) / 8, before = size > 8 ? 8 : size;
	uint64_t value = 0;

	for (unsigned i = 0; i < before; i++)
		value = value << 8 | bytes[NUMBERS_LITTLE ? before - 1 - i : i];
	if (NUMBERS_LITTLE) {
		value >>= shift;
		if (size > 8) /* so shift > 0 */
			value |= (uint64_t)bytes[8] << (64 - shift);
	} else if (size > 8) {
		value = value << (shift + bits - 64) |
			bytes[8] >> (72 - shift - bits);
	} else {
		value >>= 8 * size - shift - bits;
	}
	return value << (64 - bits) >> (64 - bits);
}

/* Its bits are zeros before. */
static inline void numbers_store_bits(char *at, unsigned shift, unsigned bits,
				      uint64_t value)
{
	unsigned size = (shift + bits + 7) / 8;
	/* how far the low end of a byte is from that of value */
	int place = NUMBERS_LITTLE ? -(int)shift : (int)(shift + bits) - 8;

	value = value << (64 - bits) >> (64 - bits);
	for (unsigned i = 0; i < size; i++) {
		uint64_t part = place < 0 ? value << -place : value >> place;

		at[i] = (char)(at[i] | (char)part);
		place += NUMBERS_LITTLE ? 8 : -8;
	}
}

/* A number of 64 bits. */
static inline struct number numbers_widen(uint64_t value, bool is_signed)
{
	uint64_t sign = is_signed && (int64_t)value < 0 ? ~UINT64_C(0) : 0;

	return (struct number){ value, sign, sign };
}

/* A number of 16 bytes. */
static inline struct number numbers_load_wide(const char *at, bool is_signed)
{
	struct number n;

	n.low = numbers_load(at + (NUMBERS_LITTLE ? 0 : 8), 8);
	n.high = numbers_load(at + (NUMBERS_LITTLE ? 8 : 0), 8);
	n.top = is_signed && (int64_t)n.high < 0 ? ~UINT64_C(0) : 0;
	return n;
}

static inline void numbers_store_wide(char *at, struct number n)
{
	numbers_store(at + (NUMBERS_LITTLE ? 0 : 8), 8, n.low);
	numbers_store(at + (NUMBERS_LITTLE ? 8 : 0), 8, n.high);
}

/* The bits of a part; it is in place unless it is a bit-field. */
static inline uint64_t numbers_load_part(const struct plan_step *step,
					 const char *at)
{
	return step->bit_size ? numbers_load_bits(at, step->bit_offset % 8,
						  step->bit_size)
			      : numbers_load(at, step->size);
}

static inline void numbers_store_part(const struct plan_step *step, char *at,
				      uint64_t value)
{
	if (step->bit_size)
		numbers_store_bits(at, step->bit_offset % 8, step->bit_size,
				   value);
	else
		numbers_store(at, step->size, value);
}

/* An integer of up to 16 bytes, as signed as the step is. */
static inline struct number numbers_read(const struct plan_step *step,
					 const char *at)
{
	uint64_t value;

	if (step->size == 16 && !step->bit_size)
		return numbers_load_wide(at, step->is_signed);
	value = numbers_load_part(step, at);
	if (step->kind == PLAN_BIG_ENDIAN)
		value = numbers_swap(value, step->size);
	if (step->is_signed)
		value = numbers_extend(value, (unsigned)plan_bits(step));
	return numbers_widen(value, step->is_signed);
}

static inline double numbers_read_float(const struct plan_step *step,
					const char *at)
{
	double value;
	float single;

	if (step->size == sizeof(single)) {
		memcpy(&single, at, sizeof(single));
		return single;
	}
	memcpy(&value, at, sizeof(value));
	return value;
}

#endif
