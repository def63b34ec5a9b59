/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VIEWS_H
#define VIEWS_H

#include "call/call.h"
#include "types/types.h"

struct btf;
struct map_info;

/* What becomes of views.c's functions: 0, -errno, or this. */
#define VIEWS_NOTYPE 1 /* the map has no BTF, the kernel no such type */

/* The options of a view, as they came; of size 0: not given. */
struct view_options {
	struct term types;
	struct term as;
	struct term percpu;
};

static inline bool views_are_wanted(const struct view_options *options)
{
	return options->types.size > 0 || options->as.size > 0 ||
	       options->percpu.size > 0;
}

/*
 * The plans of layouts, for a map with keys of key_size bytes; 0: of the size
 * that the layout has. The layout of no keys is 0. *error: -E2BIG, -ENOMEM, or
 * VIEWS_NOTYPE. False: an exception was raised. The rest as layout_read().
 */
bool views_read_layouts(struct call *call, const struct term layouts[2],
			const struct map *map, struct types_plans **plans,
			int *error);

/* The plans of a map by its BTF; btf has the id that the map's info tells. */
int views_read_btf(struct call *call, const struct map *map,
		   const struct map_info *info, const struct btf *btf,
		   struct types_plans **plans);
/* The same of the map's BTF in the kernel. -EPERM: that takes CAP_SYS_ADMIN. */
int views_open_btf(struct call *call, const struct map *map,
		   struct types_plans **plans);

/*
 * Makes map, which only the caller has, a view by these options. Without types
 * it has those of like, a view of the same map, or else those of its BTF; like
 * may be NULL. *error as above. False: an exception was raised.
 */
bool views_make(struct call *call, const struct view_options *options,
		const struct map *like, struct map *map, int *error);
/* The same with plans that are known, whose reference it takes over. */
bool views_make_of(struct call *call, const struct view_options *options,
		   struct types_plans *plans, struct map *map, int *error);

/* The same without a caller, as at a restart: 0 or -errno. */
int views_set(const struct view_options *options, struct types_plans *plans,
	      struct map *map);

/*
 * How a view of these options shows what has these plans, of a map with these
 * traits, or of none. It takes the plans over, even on failure; the caller
 * frees it. NULL: *error says why: -EINVAL, -E2BIG, -ENOMEM.
 */
struct types *views_read(const struct view_options *options,
			 struct types_plans *plans, unsigned traits,
			 int *error);

/* Whether that would go well for a map with these traits; takes plans, too. */
bool views_check(struct call *call, const struct view_options *options,
		 struct types_plans *plans, unsigned traits, int *error);

/* Those of a view, or of the map's BTF; a reference for the caller. */
int views_plans_of(struct call *call, const struct map *map,
		   struct types_plans **plans);

/* {error, Reason} for such an error; always true. */
bool views_write_error(struct call *call, int error);

/* {KeyLayout, ValueLayout} */
void views_write_layouts(struct call *call, const struct types_plans *plans);

#endif
