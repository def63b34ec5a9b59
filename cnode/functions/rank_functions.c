/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions that look at one number in each value, in one walk:
 *
 *	top(N, Member, Map) -> [{Key, Value}], of the largest numbers, those
 *	                       first; of equal ones by the bytes of the keys
 *	sum(Member, Map)    -> integer() | float()
 *	N                   =  0..65536
 *	Member              =  of call/members.c
 *
 * Their guarantees while other processes write are those of map_walk.h.
 */
#include "call/entries.h"
#include "call/ranking.h"
#include "functions/handlers.h"

bool rank_functions_top(struct call *call)
{
	struct ranking ranking = { .count = 0 };
	struct entries entries = { .walk.mode = MAP_WALK_READ };

	if (!members_read(call, call->args[2], call->args[1],
			  &ranking.members) ||
	    !entries_check(call))
		return false;
	if (!term_read_uint32(call->args[0], &ranking.most) ||
	    ranking.most > RANKING_MOST)
		return raise_reason(call, RAISED_BADARG);
	if (!entries_start(call, &entries))
		return false;
	do {
		if (!entries_next(call, &entries, UINT32_MAX))
			return false;
		for (uint32_t i = 0; i < entries.count; i++)
			if (!ranking_add(call, &ranking,
					 entries_key(call, &entries, i),
					 entries_value(call, &entries, i)))
				return false;
	} while (entries.count > 0);
	return ranking_write(call, &ranking);
}

bool rank_functions_sum(struct call *call)
{
	struct entries entries = { .walk.mode = MAP_WALK_READ };
	struct member_sum sum = { .low = 0 };
	struct members members;

	if (!members_read(call, call->args[1], call->args[0], &members) ||
	    !entries_check(call) || !entries_start(call, &entries))
		return false;
	do {
		if (!entries_next(call, &entries, UINT32_MAX))
			return false;
		for (uint32_t i = 0; i < entries.count; i++)
			member_add(&members.member, &members.fold,
				   entries_value(call, &entries, i), &sum);
	} while (entries.count > 0);
	member_write_sum(&members.member, &sum, call->out);
	return true;
}
