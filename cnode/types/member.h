/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MEMBER_H
#define MEMBER_H

#include "types/encode.h"
#include "types/fold.h"

/* One number in a value: the whole of it, a member, an element of an array. */
struct member {
	const struct plan_step *step;
	uint32_t offset; /* bytes from the start of the value */
};

/*
 * Finds the number that a term names:
 *
 *	Member = Name | [Name | Index :: integer()], [] for the whole
 *
 * 0; -EINVAL: it is no such term; -ENOENT: it leads to no number, and *path has
 * where it fails, borrowed as encode() does. An enum is no number, a pointer
 * and true and false are.
 */
int member_find(const struct plan *plan, struct term t, struct member *member,
		struct encode_path *path);

/*
 * What stands for a number where it is compared with the same one of other
 * values. What is not a number comes before all that are.
 */
struct member_rank {
	uint64_t words[3]; /* the most significant one first */
};

/* fold has the CPUs of the value, one for a map without values per CPU. */
struct member_rank member_rank(const struct member *member,
			       const struct fold *fold, const char *bytes);

/* < 0: a comes before b; 0: they are equal. */
static inline int member_compare(const struct member_rank *a,
				 const struct member_rank *b)
{
	for (int i = 0; i < 3; i++)
		if (a->words[i] != b->words[i])
			return a->words[i] < b->words[i] ? -1 : 1;
	return 0;
}

/* A sum, zero at first. Those of integers do not wrap. */
struct member_sum {
	uint64_t low, high, top;
	double real;
};

void member_add(const struct member *member, const struct fold *fold,
		const char *bytes, struct member_sum *sum);
/* An integer, or a float as decode() writes it. */
void member_write_sum(const struct member *member, const struct member_sum *sum,
		      struct term_writer *w);

#endif
