/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions on whole maps, each in one message:
 *
 *	keys(Map) -> [Key]       values(Map) -> [Value]
 *	to_list(Map) -> [{Key, Value}]
 *	size(Map) -> integer()   the number of entries
 *	clear(Map) -> Map
 *	drain(Map) -> [{Key, Value}], and removes them
 *
 * Their guarantees while other processes write are those of map_walk.h. An
 * answer that would be too long raises {too_big, Max}; then drain removes
 * nothing. It also leaves entries that others put too fast for them to fit.
 */
#include <errno.h>

#include "call/entries.h"
#include "call/values.h"
#include "functions/handlers.h"

typedef void (*writer)(struct call *call, const struct entries *entries,
		       uint32_t n);

static void write_key(struct call *call, const struct entries *entries,
		      uint32_t n)
{
	values_write_key(call, entries_key(call, entries, n));
}

static void write_value(struct call *call, const struct entries *entries,
			uint32_t n)
{
	values_write(call, entries_value(call, entries, n));
}

/*
 * One more step. Entries taken out must not be lost: if the next ones may not
 * fit, or taking them fails, the walk ends with those it has.
 */
static bool go_on(struct call *call, struct entries *entries, uint32_t so_far)
{
	bool take = entries->walk.mode == MAP_WALK_TAKE;

	entries->count = 0;
	if ((!take || entries_fit(call, &entries->most)) &&
	    entries_next(call, entries, UINT32_MAX))
		return true;
	if (!take || so_far == 0 || !call_goes_on(call))
		return false;
	call->raised.reason = RAISED_NOTHING;
	return true;
}

/* Writes a list with an element for each entry. */
static bool write_all(struct call *call, struct entries *entries, writer write)
{
	size_t list = term_write_list_open(call->out);
	uint32_t n = 0;

	if (!entries_start(call, entries))
		return false;
	do {
		if (!go_on(call, entries, n))
			return false;
		for (uint32_t i = 0; i < entries->count; i++) {
			if (!call_goes_on(call))
				return false;
			write(call, entries, i);
		}
		n += entries->count;
	} while (entries->count > 0 && !call->out->failed);
	term_write_list_close(call->out, list, n);
	return true;
}

static bool list(struct call *call, writer write)
{
	bool keys = write == write_key;
	struct entries entries = { .walk.mode =
					   keys ? MAP_WALK_KEYS : MAP_WALK_READ,
				   .with_maps = !keys };

	return call_read_map(call, call->args[0]) && entries_check(call) &&
	       write_all(call, &entries, write);
}

bool whole_functions_keys(struct call *call)
{
	return list(call, write_key);
}

bool whole_functions_values(struct call *call)
{
	return list(call, write_value);
}

bool whole_functions_to_list(struct call *call)
{
	return list(call, entries_write_pair);
}

/* Visits all entries; *n is their number. */
static bool visit_all(struct call *call, enum map_walk_mode mode, uint64_t *n)
{
	struct entries entries = { .walk.mode = mode };

	*n = 0;
	if (!entries_start(call, &entries))
		return false;
	do {
		if (!entries_next(call, &entries, UINT32_MAX))
			return false;
		*n += entries.count;
	} while (entries.count > 0);
	return true;
}

bool whole_functions_size(struct call *call)
{
	uint64_t n;

	if (!call_read_map(call, call->args[0]) || !entries_check(call))
		return false;
	if (call->map->traits & MAP_ALL_EXIST)
		n = call->map->max_entries;
	else if (!visit_all(call, MAP_WALK_KEYS, &n))
		return false;
	term_write_uint(call->out, n);
	return true;
}

/* --- clear/1, drain/1 --------------------------------------------------- */

/* No more than max_entries: a program may keep adding some. */
static bool clear_keyless(struct call *call)
{
	uint32_t most = call->map->max_entries;

	return entries_pop(call, &most, false);
}

static bool drain_keyless(struct call *call)
{
	uint32_t most = call->map->max_entries;

	return entries_pop(call, &most, true);
}

static bool check_removal(struct call *call)
{
	if (call->map->traits & MAP_LOOKUP_TAKES_VALUE)
		return raise_errno(call, -EOPNOTSUPP);
	if (call->map->traits & MAP_NO_REMOVAL)
		return raise_errno(call, -EINVAL);
	return true;
}

bool whole_functions_clear(struct call *call)
{
	uint64_t n;

	if (!call_read_map(call, call->args[0]) || !check_removal(call))
		return false;
	if (call->map->key_size > 0 ? !visit_all(call, MAP_WALK_REMOVE, &n)
				    : !clear_keyless(call))
		return false;
	term_write_term(call->out, call->args[0]);
	return true;
}

/* The map may fill up while it is drained, so all of max_entries must fit. */
bool whole_functions_drain(struct call *call)
{
	struct entries entries = { .walk.mode = MAP_WALK_TAKE };
	uint32_t fit;

	if (!call_read_map(call, call->args[0]) || !check_removal(call) ||
	    !entries_fit(call, &fit))
		return false;
	if (fit < call->map->max_entries)
		return raise_reason(call, RAISED_TOO_BIG);
	return call->map->key_size > 0
		       ? write_all(call, &entries, entries_write_pair)
		       : drain_keyless(call);
}
