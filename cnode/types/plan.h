/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PLAN_H
#define PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PLAN_MAX_STEPS 4096
#define PLAN_MAX_NAMES ((size_t)64 * 1024) /* bytes of all names */
#define PLAN_MAX_DEPTH 32 /* arrays, structures and unions in each other */
#define PLAN_MAX_PARTS (1 << 26) /* steps that decoding a value takes */
#define PLAN_BYTE_PARTS 64       /* so many for each byte, and PLAN_MAX_STEPS */
#define PLAN_MAX_SIZE (UINT32_MAX / 8) /* bytes: all places are bits */
#define PLAN_NAME_SLACK 32 /* zeros behind the names, for reading ahead */

/*
 * How the bytes of a key or a value are a term: a flat list of steps, made once
 * for a view and never changed. A step stands before those of its parts.
 */
enum plan_kind {
	PLAN_UNSIGNED, /* 1 to 16 bytes */
	PLAN_SIGNED,
	PLAN_BIG_ENDIAN, /* be16, be32, be64: a number in network order */
	PLAN_BOOL,
	PLAN_FLOAT,   /* 4 or 8 bytes */
	PLAN_POINTER, /* 8 bytes, a number */
	PLAN_CHARS,   /* text up to the first NUL */
	PLAN_BYTES,
	PLAN_ENUM,
	PLAN_ARRAY,
	PLAN_STRUCT,
	PLAN_UNION,
	PLAN_HIDDEN, /* the kernel's own: not there */
};

/* Structures as terms; a union is a map in both forms. */
enum plan_form {
	PLAN_AS_MAP,
	PLAN_AS_TUPLE,
	PLAN_FORMS
};

/*
 * One step of a finished plan. The members of an anonymous structure or union
 * share the names of the one that it is in; place is where a member is in the
 * outermost of those, whose bytes or elements of an array they are.
 */
struct plan_step {
	enum plan_kind kind;
	bool is_signed;      /* also an enum with a negative constant */
	bool is_flexible;    /* PLAN_ARRAY: count is what the size leaves */
	uint8_t bit_size;    /* of a bit-field; 0: none */
	uint32_t bit_offset; /* from the start of the structure or union */
	uint32_t size;       /* bytes; of an array those of all elements */
	uint32_t count;      /* elements, members, or constants of an enum */
	uint32_t next;       /* the first step behind its parts */
	uint32_t name;       /* a member's, in plan->names */
	uint32_t name_size;  /* 0: it is anonymous, or no member */
	uint32_t constants;  /* PLAN_ENUM: its first in plan->constants */
	uint32_t place;      /* bits, of a member with a name */
	uint32_t by_name;    /* of structures and unions: in plan->by_name */
	uint32_t by_name_count;
	/* pairs of its map, elements of its tuple */
	uint32_t shown[PLAN_FORMS];
	size_t max_encoded[PLAN_FORMS]; /* bytes of its term; saturates */
};

/* A constant of an enum; sorted by value, an alias behind the first. */
struct plan_constant {
	uint64_t value; /* sign-extended where the enum is signed */
	uint32_t name;
	uint32_t name_size;
};

#define PLAN_NAME_HEADER 5 /* bytes of a BINARY_EXT before its text */

/* names holds whole terms, each a BINARY_EXT; name is the place of its text. */
struct plan {
	struct plan_step *steps;
	uint32_t step_count;
	struct plan_constant *constants;
	uint32_t constant_count;
	char *names;
	size_t names_size;
	/*
	 * Steps by name, those of each structure together, and constants, those
	 * of each enum together (beside constants): as Erlang sorts binaries.
	 */
	uint32_t *by_name;
	uint32_t *constants_by_name;
	uint32_t size; /* bytes of the key or value */
	/* for the builder alone */
	struct plan_builder *builder;
};

/*
 * Building one: parts in order, those of an array (one), a structure or a union
 * between plan_open() and plan_close(). Each returns 0 or -E2BIG, -EINVAL,
 * -ENOMEM, as soon as that is known; after an error nothing more is added, so
 * that the readers may go on or stop.
 *
 * Names and offsets of what is no member are ignored, as the size of a hidden
 * one is. Without a name may be structures, unions and what is hidden alone.
 * An array of 0 elements that is the last member of the outermost structure is
 * a flexible one: as many as that structure's size leaves.
 */
struct plan_part {
	enum plan_kind kind;
	bool is_signed;
	uint8_t bit_size;
	uint32_t bit_offset;
	uint32_t size;  /* bytes; of structures and unions too, not of arrays */
	uint32_t count; /* PLAN_ARRAY: elements */
	const char *name;
	size_t name_size;
};

struct plan *plan_new(void);
void plan_free(struct plan *plan);
/* The bytes that a finished one takes; 0 for NULL. */
size_t plan_memory(const struct plan *plan);
int plan_add(struct plan *plan, const struct plan_part *part);
int plan_add_constant(struct plan *plan, const char *name, size_t name_size,
		      uint64_t value); /* to the enum that was added last */
int plan_open(struct plan *plan, const struct plan_part *part);
int plan_close(struct plan *plan);
/*
 * Checks the whole, for a key or value of size bytes; 0: as many as it has,
 * which may not be 0. If it fails, or error says that what was done before has
 * failed, made is freed, and may be NULL.
 */
int plan_end(struct plan *made, int error, uint32_t size, struct plan **plan);

/*
 * The member of that name in the map of a structure or union, also one of an
 * anonymous union in it; NULL: there is none, or it is hidden. *guess is the
 * place in plan->by_name that is tried first; on success that behind the one
 * found: binaries come sorted in most maps.
 */
const struct plan_step *plan_find_member(const struct plan *plan,
					 const struct plan_step *of,
					 const char *name, size_t name_size,
					 uint32_t *guess);
/* The constant of that name; NULL: there is none. */
const struct plan_constant *plan_find_constant(const struct plan *plan,
					       const struct plan_step *of,
					       const char *name,
					       size_t name_size);

#endif
