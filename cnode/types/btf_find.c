/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds a type by its name. Threads may do so at once in one BTF, as they may
 * read its types by btf_read(): both use only those functions of libbpf that
 * return what is in it. Those that search a BTF are not among them: they need
 * not leave it as it is.
 */
#include "types/btf_find.h"

#include <bpf/btf.h>
#include <string.h>

/* The lowest one is taken. */
enum rank {
	RANK_STRUCT,
	RANK_UNION,
	RANK_TYPEDEF,
	RANK_ENUM,
	RANK_INT,
	RANKS
};

static enum rank rank_of(const struct btf_type *type)
{
	switch (btf_kind(type)) {
	case BTF_KIND_STRUCT:
		return RANK_STRUCT;
	case BTF_KIND_UNION:
		return RANK_UNION;
	case BTF_KIND_TYPEDEF:
		return RANK_TYPEDEF;
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
		return RANK_ENUM;
	case BTF_KIND_INT:
		return RANK_INT;
	default:
		return RANKS;
	}
}

static bool is_named(const struct btf *btf, const struct btf_type *type,
		     const char *name)
{
	const char *other = btf__name_by_offset(btf, type->name_off);

	return other && strcmp(other, name) == 0;
}

uint32_t btf_find(const struct btf *btf, const char *name)
{
	uint32_t count = btf__type_cnt(btf), found = 0;
	enum rank best = RANKS;

	if (!*name)
		return 0; /* the name of all that have none */
	for (uint32_t id = 1; id < count && best > RANK_STRUCT; id++) {
		const struct btf_type *type = btf__type_by_id(btf, id);

		if (rank_of(type) < best && is_named(btf, type, name)) {
			best = rank_of(type);
			found = id;
		}
	}
	return found;
}
