/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From plans to BTF, so that other tools show what a map holds. Only what the
 * kernel takes: it wants names as in C and members in the order of their
 * places.
 */
#include "types/btf_write.h"

#include <bpf/btf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define MAX_NAME 512         /* the kernel's KSYM_NAME_LEN */
#define MAX_OFFSET 0xffffffu /* bits, in a structure with bit-fields */
#define ENUM_BITS 32         /* the kernel's, of any that is no bit-field */
#define SIZES 5              /* 1, 2, 4, 8 and 16 bytes */

/* Types of numbers, each added once. */
enum number {
	UNSIGNED,
	SIGNED,
	NETWORK,
	BOOL,
	FLOAT,
	CHAR,
	POINTER,
	NUMBERS
};

struct place {
	uint32_t bit_offset;
	uint32_t step;
};

struct writer {
	const struct plan *plan;
	const char *name; /* of the outermost structure */
	struct btf *btf;
	int numbers[NUMBERS][SIZES]; /* ids; 0: not yet */
	uint32_t *ids;               /* of the types of steps, once written */
	struct place *places;        /* members of one structure */
};

/* --- Names -------------------------------------------------------------- */

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_identifier(const char *name, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (!is_letter(name[i]) &&
		    (i == 0 || name[i] < '0' || name[i] > '9'))
			return false;
	return size > 0;
}

/* Makes a string of a name; empty: it has none. */
static int read_name(const struct writer *w, uint32_t name, uint32_t size,
		     char text[MAX_NAME])
{
	text[0] = '\0';
	if (size == 0)
		return 0;
	if (size >= MAX_NAME || !is_identifier(w->plan->names + name, size))
		return -EINVAL;
	memcpy(text, w->plan->names + name, size);
	text[size] = '\0';
	return 0;
}

/* --- Numbers: an id, or -errno ------------------------------------------ */

static const char *const names[NUMBERS][SIZES] = {
	[UNSIGNED] = { "unsigned char", "unsigned short", "unsigned int",
		       "unsigned long long", "unsigned __int128" },
	[SIGNED] = { "signed char", "short", "int", "long long", "__int128" },
	[NETWORK] = { NULL, "__be16", "__be32", "__be64" },
	[BOOL] = { "_Bool" },
	[FLOAT] = { NULL, NULL, "float", "double" },
	[CHAR] = { "char" },
};

static int write_number(struct writer *w, enum number number, uint32_t size);

static int add_number(struct writer *w, enum number number, uint32_t size,
		      const char *name)
{
	int id;

	switch (number) {
	case NETWORK:
		id = write_number(w, UNSIGNED, size);
		return id < 0 ? id : btf__add_typedef(w->btf, name, id);
	case FLOAT:
		return btf__add_float(w->btf, name, size);
	case POINTER: /* to void, whose id is 0 */
		return btf__add_ptr(w->btf, 0);
	case SIGNED:
	case CHAR:
		return btf__add_int(w->btf, name, size, BTF_INT_SIGNED);
	case BOOL:
		return btf__add_int(w->btf, name, size, BTF_INT_BOOL);
	default:
		return btf__add_int(w->btf, name, size, 0);
	}
}

static int write_number(struct writer *w, enum number number, uint32_t size)
{
	unsigned log = (unsigned)__builtin_ctz(size);
	int *id = &w->numbers[number][log];

	if (*id <= 0)
		*id = add_number(w, number, size, names[number][log]);
	return *id;
}

/* An anonymous one. Without a negative constant libbpf takes it as unsigned. */
static int add_enum(struct writer *w, const struct plan_step *step)
{
	return step->size > sizeof(int32_t)
		       ? btf__add_enum64(w->btf, NULL, step->size,
					 step->is_signed)
		       : btf__add_enum(w->btf, NULL, step->size);
}

static int add_constant(struct writer *w, const struct plan_step *step,
			const struct plan_constant *constant)
{
	char name[MAX_NAME];
	int error = read_name(w, constant->name, constant->name_size, name);

	if (error < 0)
		return error;
	return step->size > sizeof(int32_t)
		       ? btf__add_enum64_value(w->btf, name, constant->value)
		       : btf__add_enum_value(w->btf, name,
					     (int64_t)constant->value);
}

static int write_enum(struct writer *w, const struct plan_step *step)
{
	const struct plan_constant *constants = w->plan->constants;
	int id = add_enum(w, step), error = id;

	for (uint32_t i = 0; error >= 0 && i < step->count; i++)
		error = add_constant(w, step, &constants[step->constants + i]);
	return error < 0 ? error : id;
}

/* --- What has parts ----------------------------------------------------- */

static int write_array(struct writer *w, int element, uint32_t count)
{
	int index = write_number(w, UNSIGNED, sizeof(uint32_t));

	if (element < 0 || index < 0)
		return element < 0 ? element : index;
	return btf__add_array(w->btf, index, element, count);
}

static int compare_places(const void *a, const void *b)
{
	const struct place *one = a, *other = b;

	return one->bit_offset != other->bit_offset
		       ? (one->bit_offset > other->bit_offset ? 1 : -1)
		       : (one->step > other->step) - (one->step < other->step);
}

/* Lists the members that are there, by place; returns their number. */
static uint32_t list_members(const struct writer *w, const struct plan_step *of,
			     bool *bit_fields)
{
	const struct plan_step *steps = w->plan->steps;
	uint32_t i = (uint32_t)(of - steps) + 1, count = 0;

	*bit_fields = false;
	for (; i < of->next; i = steps[i].next) {
		if (steps[i].kind == PLAN_HIDDEN)
			continue;
		*bit_fields |= steps[i].bit_size > 0;
		w->places[count++] = (struct place){ steps[i].bit_offset, i };
	}
	qsort(w->places, count, sizeof(*w->places), compare_places);
	return count;
}

/*
 * Beside bit-fields the kernel takes an enum for an int, whatever its size: so
 * a smaller one is said to be a bit-field as well.
 */
static uint32_t bits_of(const struct plan_step *step)
{
	bool small = step->kind == PLAN_ENUM && step->size * 8 < ENUM_BITS;

	return small && !step->bit_size ? step->size * 8 : step->bit_size;
}

static int add_member(const struct writer *w, uint32_t index, bool bit_fields)
{
	const struct plan_step *step = &w->plan->steps[index];
	char name[MAX_NAME];
	int error = read_name(w, step->name, step->name_size, name);

	/* libbpf would let it run over into the size of a bit-field */
	if (error < 0 || (bit_fields && step->bit_offset > MAX_OFFSET))
		return -EINVAL;
	return btf__add_field(w->btf, name, (int)w->ids[index],
			      step->bit_offset, bit_fields ? bits_of(step) : 0);
}

/* The types of the members are written: nothing may come between members. */
static int write_composite(struct writer *w, const struct plan_step *of)
{
	const char *name = of == w->plan->steps ? w->name : NULL;
	bool bit_fields;
	uint32_t count = list_members(w, of, &bit_fields);
	int id = of->kind == PLAN_UNION
			 ? btf__add_union(w->btf, name, of->size)
			 : btf__add_struct(w->btf, name, of->size);
	int error = id;

	for (uint32_t i = 0; error >= 0 && i < count; i++)
		error = add_member(w, w->places[i].step, bit_fields);
	return error < 0 ? error : id;
}

/* --- The whole ---------------------------------------------------------- */

static int write_step(struct writer *w, const struct plan_step *step)
{
	switch (step->kind) {
	case PLAN_UNSIGNED:
		return write_number(w, UNSIGNED, step->size);
	case PLAN_SIGNED:
		return write_number(w, SIGNED, step->size);
	case PLAN_BIG_ENDIAN:
		return write_number(w, NETWORK, step->size);
	case PLAN_BOOL:
		return write_number(w, BOOL, step->size);
	case PLAN_FLOAT:
		return write_number(w, FLOAT, step->size);
	case PLAN_POINTER:
		return write_number(w, POINTER, step->size);
	case PLAN_CHARS:
		return write_array(w, write_number(w, CHAR, 1), step->size);
	case PLAN_BYTES:
		return write_array(w, write_number(w, UNSIGNED, 1), step->size);
	case PLAN_ENUM:
		return write_enum(w, step);
	case PLAN_ARRAY:
		return write_array(w, (int)w->ids[step - w->plan->steps + 1],
				   step->count);
	case PLAN_STRUCT:
	case PLAN_UNION:
		return write_composite(w, step);
	default: /* hidden, and left out by list_members() */
		return 0;
	}
}

/* From the last step to the first: a type comes behind those of its parts. */
static int write_steps(struct writer *w)
{
	for (uint32_t i = w->plan->step_count; i-- > 0;) {
		int id = write_step(w, &w->plan->steps[i]);

		if (id < 0)
			return id;
		w->ids[i] = (uint32_t)id;
	}
	return 0;
}

/* *id is the type of the plan's outermost step. */
static int write_plan(struct writer *w, const struct plan *plan,
		      const char *name, uint32_t *id)
{
	int error = -ENOMEM;

	w->plan = plan;
	w->name = name;
	w->ids = calloc(plan->step_count, sizeof(*w->ids));
	w->places = calloc(plan->step_count, sizeof(*w->places));
	if (w->ids && w->places)
		error = write_steps(w);
	if (error == 0)
		*id = w->ids[0];
	free(w->ids);
	free(w->places);
	return error;
}

int btf_write(const struct plan *key, const struct plan *value,
	      struct btf_types *types)
{
	struct writer w = { .btf = btf__new_empty() };
	int error = 0;

	*types = (struct btf_types){ .btf = w.btf };
	if (!w.btf)
		return -errno;
	if (key)
		error = write_plan(&w, key, "key", &types->key);
	if (error == 0)
		error = write_plan(&w, value, "value", &types->value);
	if (error < 0) {
		btf__free(w.btf);
		types->btf = NULL;
	}
	return error;
}
