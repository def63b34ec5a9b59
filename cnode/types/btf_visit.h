/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BTF_VISIT_H
#define BTF_VISIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct btf;
struct btf_type;

/*
 * The kernel and libbpf have seen to it that the types of a BTF lie within it.
 * Nothing else is taken for granted: which types they refer to, how deep, how
 * often and whether in circles, and what their names are.
 */
struct btf_visitor {
	const struct btf *btf;
	uint32_t visits;
};

/* A type without its other names and its qualifiers. */
struct btf_stripped {
	const struct btf_type *type;
	bool is_big_endian; /* one of its names says so */
};

/* NULL: there is none at that offset. */
const char *btf_visit_name(const struct btf_visitor *v, uint32_t offset);
bool btf_visit_is_named(const struct btf_visitor *v,
			const struct btf_type *type, const char *const names[],
			size_t count);

#define BTF_VISIT_NAMED(v, type, names)                                        \
	btf_visit_is_named(v, type, names, sizeof(names) / sizeof((names)[0]))

/* 0; -EINVAL: there is no such type; -E2BIG: it took too many to get here. */
int btf_visit(struct btf_visitor *v, uint32_t id, const struct btf_type **type);
int btf_visit_strip(struct btf_visitor *v, uint32_t id,
		    struct btf_stripped *stripped);

/*
 * Whether a type is the kernel's own, as a lock or a timer is, or an array of
 * such. So is an array whose elements have no size: there is nothing to see.
 */
int btf_visit_hidden(struct btf_visitor *v, const struct btf_type *type,
		     bool *hidden);

#endif
