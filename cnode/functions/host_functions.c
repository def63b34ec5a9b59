/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The maps of this host, and the handles of this node:
 *
 *	list()    -> [Info]
 *	info(Map) -> Info = #{id, name, type, key_size, value_size,
 *	             max_entries, flags, frozen, memlock, btf, pinned,
 *	             handles[, fill]}
 *	handles() -> [{ebpf_map(), Owner, node | process | permanent}]
 *	Owner     =  node() | pid() | none
 */
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>

#include "bpf/pins.h"
#include "bpf/ring_pages.h"
#include "call/call.h"
#include "call/descriptions.h"
#include "functions/handlers.h"

bool host_functions_handles(struct call *call)
{
	size_t list = term_write_list_open(call->out);
	uint32_t n = descriptions_write_owned(call, &map_kind);

	term_write_list_close(call->out, list, n);
	return true;
}

/* --- Maps --------------------------------------------------------------- */

#define INFO_PAIRS 12

/* With the map itself: what waits in it, too, if it is a ring. */
static void write_info(struct call *call, const struct map_info *info,
		       const struct map *of, const struct pins *pins)
{
	struct term_writer *w = call->out;
	size_t map = term_write_map_open(w);
	uint64_t fill;
	bool has_fill = of && ring_fill(of, &fill) == 0;

	term_write_entry(w, "id", info->id);
	term_write_atom(w, "name");
	term_write_binary(w, info->name, strlen(info->name));
	term_write_atom(w, "type");
	call_write_type(call, info->type);
	term_write_entry(w, "key_size", info->key_size);
	term_write_entry(w, "value_size", info->value_size);
	term_write_entry(w, "max_entries", info->max_entries);
	term_write_entry(w, "flags", info->flags);
	term_write_atom(w, "frozen");
	term_write_atom(w, info->frozen ? "true" : "false");
	term_write_entry(w, "memlock", info->memlock);
	descriptions_write_id(w, "btf", info->btf_id);
	descriptions_write_holders(call, &map_kind, info->id, pins);
	if (has_fill)
		term_write_entry(w, "fill", fill);
	term_write_map_close(w, map, INFO_PAIRS + has_fill);
}

bool host_functions_info(struct call *call)
{
	struct map_info info;
	struct pins pins;
	int error;

	if (!call_read_map(call, call->args[0]))
		return false;
	error = map_get_info(call->map, &info);
	if (error == 0)
		error = pins_find_of(&pins, &call->map->resource,
				     call->context->stopped);
	if (error < 0)
		return raise_errno(call, error);
	write_info(call, &info, call->map, &pins);
	pins_free(&pins);
	return true;
}

/*
 * The next map that still exists; -ENOENT at the end. It is opened read-only; a
 * map that a security module does not let us read is left out.
 */
static int next_info(uint32_t *id, struct map_info *info)
{
	struct map *map;
	int error;

	while ((error = map_next_id(id)) == 0) {
		error = map_open_id(*id, BPF_F_RDONLY, &map);
		if (error == -ENOENT || error == -EPERM || error == -EACCES)
			continue;
		if (error < 0)
			return error;
		error = map_get_info(map, info);
		map_unref(map);
		return error;
	}
	return error;
}

static bool write_infos(struct call *call, const struct pins *pins)
{
	size_t list = term_write_list_open(call->out);
	struct map_info info;
	uint32_t id = 0, n = 0;
	int error;

	while ((error = next_info(&id, &info)) == 0) {
		if (!call_goes_on(call))
			return false;
		write_info(call, &info, NULL, pins);
		n++;
	}
	term_write_list_close(call->out, list, n);
	return error == -ENOENT || raise_errno(call, error);
}

bool host_functions_list(struct call *call)
{
	struct pins pins;
	int error = pins_find(&pins, &map_kind, call->context->stopped);
	bool good;

	if (error < 0)
		return raise_errno(call, error);
	good = write_infos(call, &pins);
	pins_free(&pins);
	return good;
}
