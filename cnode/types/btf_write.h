/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BTF_WRITE_H
#define BTF_WRITE_H

#include <stdint.h>

#include "types/plan.h"

struct btf;

/* Types of keys and values, as ids within one BTF. */
struct btf_types {
	struct btf *btf; /* the caller's, by btf__free() */
	uint32_t key;    /* 0: there are no keys */
	uint32_t value;
};

/*
 * Makes BTF of finished plans; key may be NULL. -ENOMEM, or -EINVAL for what
 * BTF cannot say: a name that is no identifier of C, or a member of a union
 * that does not start where the union does.
 *
 * btf_read() makes the same plans of it, with these exceptions. What is hidden
 * becomes padding, members stand in the order of their places, an array of u8
 * becomes bytes, a flexible array one of as many elements as there are, and a
 * bit-field of all bits of its type none.
 */
int btf_write(const struct plan *key, const struct plan *value,
	      struct btf_types *types);

#endif
