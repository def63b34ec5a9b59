/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One number in each value of a map:
 *
 *	Member = Name | [Name | Index], as types/member.h has it
 *
 * The map is a view, or is made one for the call where nobody else has it.
 */
#include "call/members.h"

#include <errno.h>

#include "call/locators.h"
#include "call/typed.h"
#include "call/views.h"

static bool make_view(struct call *call)
{
	const struct view_options none = { .types.size = 0 };
	int error;

	if (!views_make(call, &none, NULL, call->map, &error))
		return false;
	if (error == VIEWS_NOTYPE)
		return raise_reason(call, RAISED_NOTYPE);
	return error == 0 || raise_errno(call, error);
}

static bool find(struct call *call, struct term named, struct member *member)
{
	struct encode_path path;
	int error = member_find(call->map->types->value, named, member, &path);

	if (error == -ENOENT)
		return typed_raise_path(call, &path);
	return error == 0 || raise_reason(call, RAISED_BADARG);
}

static bool set_fold(struct call *call, struct fold *fold)
{
	const struct map *map = call->map;

	*fold = (struct fold){ .op = map->types->fold,
			       .cpus = 1,
			       .stride = map->value_stride };
	if (!(map->traits & MAP_PER_CPU))
		return true;
	fold->cpus = map->cpus;
	return fold->op != FOLD_NONE || raise_reason(call, RAISED_UNFOLDED);
}

bool members_read(struct call *call, struct term t, struct term named,
		  struct members *members)
{
	if (!call_read_map(call, t))
		return false;
	if (!call->map->types && locators_is(t) && !make_view(call))
		return false;
	if (!call->map->types)
		return raise_reason(call, RAISED_NOTYPE);
	if (!call->map->types->value) /* it is the name of an object */
		return raise_errno(call, -EOPNOTSUPP);
	return find(call, named, &members->member) &&
	       set_fold(call, &members->fold);
}
