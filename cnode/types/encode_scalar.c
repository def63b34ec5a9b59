/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers, names of constants, and text: the parts of a term without parts. */
#include <ei.h>
#include <endian.h>
#include <math.h>
#include <string.h>

#include "types/encode_internal.h"
#include "types/numbers.h"

/* --- Integers ----------------------------------------------------------- */

/* Of up to 192 bits; those that large fit nowhere. */
static bool read_wide(struct term t, struct number *n)
{
	uint64_t words[3];

	if (!term_read_bytes(t, (char *)words, sizeof(words)))
		return false;
	*n = (struct number){
		.low = words[NUMBERS_LITTLE ? 0 : 2],
		.high = words[1],
		.top = words[NUMBERS_LITTLE ? 2 : 0],
	};
	return true;
}

static bool read_integer(struct term t, struct number *n)
{
	uint32_t word;

	switch (*t.at) {
	case ERL_SMALL_INTEGER_EXT:
		*n = (struct number){ .low = (unsigned char)t.at[1] };
		return true;
	case ERL_INTEGER_EXT:
		memcpy(&word, t.at + 1, sizeof(word));
		*n = numbers_widen(numbers_extend(be32toh(word), 32), true);
		return true;
	default:
		return read_wide(t, n);
	}
}

static bool is_negative(uint64_t word)
{
	return (int64_t)word < 0;
}

static bool fits(struct number n, unsigned bits, bool is_signed)
{
	if (!is_signed)
		return n.top == 0 && (bits == 128 || n.high == 0) &&
		       (bits >= 64 || n.low >> bits == 0);
	if (n.top != (is_negative(n.high) ? ~UINT64_C(0) : 0))
		return false;
	return bits == 128 ||
	       (n.high == n.top && is_negative(n.low) == is_negative(n.top) &&
		numbers_extend(n.low, bits) == n.low);
}

static bool store(const struct plan_step *step, struct number n, char *at)
{
	unsigned bits = (unsigned)plan_bits(step);

	if (!fits(n, bits, step->is_signed))
		return false;
	if (bits == 128)
		numbers_store_wide(at, n);
	else if (step->kind == PLAN_BIG_ENDIAN)
		numbers_store(at, step->size, numbers_swap(n.low, step->size));
	else
		numbers_store_part(step, at, n.low);
	return true;
}

static bool encode_integer(const struct plan_step *step, struct term t,
			   char *at)
{
	struct number n;

	return read_integer(t, &n) && store(step, n, at);
}

static bool encode_bool(const struct plan_step *step, struct term t, char *at)
{
	if (term_is_atom(t, "true"))
		return store(step, (struct number){ .low = 1 }, at);
	return term_is_atom(t, "false") || encode_integer(step, t, at);
}

static bool encode_enum(struct encoding *e, const struct plan_step *step,
			struct term t, char *at)
{
	const struct plan_constant *constant;
	const char *name;
	size_t size;

	if (!encode_read_name(e, t, &name, &size))
		return encode_integer(step, t, at);
	constant = plan_find_constant(e->plan, step, name, size);
	return constant &&
	       store(step, numbers_widen(constant->value, step->is_signed), at);
}

/* --- Floats ------------------------------------------------------------- */

static bool read_whole(struct term t, double *value)
{
	struct number n;

	if (!read_integer(t, &n))
		return false;
	if (fits(n, 64, false))
		*value = (double)n.low;
	else if (fits(n, 64, true))
		*value = (double)(int64_t)n.low;
	else
		return false;
	return true;
}

static bool read_float(struct term t, double *value)
{
	uint64_t bits;

	if (*t.at == NEW_FLOAT_EXT) {
		memcpy(&bits, t.at + 1, sizeof(bits));
		bits = be64toh(bits);
		memcpy(value, &bits, sizeof(*value));
	} else if (term_is_atom(t, "nan")) {
		*value = NAN;
	} else if (term_is_atom(t, "infinity")) {
		*value = INFINITY;
	} else if (term_is_atom(t, "-infinity")) {
		*value = -INFINITY;
	} else {
		return read_whole(t, value);
	}
	return true;
}

static bool encode_float(const struct plan_step *step, struct term t, char *at)
{
	double value;
	float single;

	if (!read_float(t, &value))
		return false;
	if (step->size == sizeof(value)) {
		memcpy(at, &value, sizeof(value));
		return true;
	}
	single = (float)value;
	memcpy(at, &single, sizeof(single));
	return isinf(single) == isinf(value);
}

/* --- Text --------------------------------------------------------------- */

/* As list_to_binary/1 takes it. */
static bool encode_list(const struct plan_step *step, struct term t, char *at,
			size_t *size)
{
	struct term_items items;
	struct term item;
	uint32_t byte;

	if (!term_list(t, &items) || items.left > step->size)
		return false;
	*size = items.left;
	while (term_next(&items, &item)) {
		if (!term_read_uint32(item, &byte) || byte > UINT8_MAX)
			return false;
		*at++ = (char)byte;
	}
	return term_end(&items);
}

/* NULs may stand at the end alone, as the padding that they are. */
static bool encode_chars(const struct plan_step *step, struct term t, char *at)
{
	const char *text;
	size_t size;

	if (term_read_binary(t, &text, &size)) {
		if (size > step->size)
			return false;
		memcpy(at, text, size);
	} else if (!encode_list(step, t, at, &size)) {
		return false;
	}
	while (size > 0 && at[size - 1] == '\0')
		size--;
	return !memchr(at, '\0', size);
}

static bool encode_bytes(const struct plan_step *step, struct term t, char *at)
{
	const char *bytes;
	size_t size;

	if (!term_read_binary(t, &bytes, &size) || size != step->size)
		return false;
	memcpy(at, bytes, size);
	return true;
}

bool encode_scalar(struct encoding *e, const struct plan_step *step,
		   struct term t, char *at)
{
	switch (step->kind) {
	case PLAN_BOOL:
		return encode_bool(step, t, at);
	case PLAN_ENUM:
		return encode_enum(e, step, t, at);
	case PLAN_FLOAT:
		return encode_float(step, t, at);
	case PLAN_CHARS:
		return encode_chars(step, t, at);
	case PLAN_BYTES:
		return encode_bytes(step, t, at);
	default:
		return encode_integer(step, t, at);
	}
}
