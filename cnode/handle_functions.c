/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions on maps as such, and their handles:
 *
 *	new(Type, KeySize, ValueSize, MaxEntries[, Options])
 *	           -> ebpf_map() | {error, Posix}
 *	open({id, Id} | {pinned, Path} | {name, Name}[, Options])
 *	           -> ebpf_map() | {error, Posix | ambiguous}
 *	close(Map) -> ok | {error, ebadf}
 *	fd(Map)    -> integer()
 *	type(Map)  -> atom() | integer()
 *	pin(Path, Map), unpin(Path, Map), freeze(Map)
 *	           -> ok | {error, Posix}
 */
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>

#include "call.h"
#include "handlers.h"
#include "map_memory.h"
#include "pin_limit.h"
#include "pin_root.h"
#include "refusal.h"

/* --- new/4,5 ------------------------------------------------------------ */

static const struct {
	const char *name;
	uint32_t flag;
} map_options[] = {
	{ "no_prealloc", BPF_F_NO_PREALLOC },
	{ "read", BPF_F_RDONLY },
	{ "write", BPF_F_WRONLY },
	{ "zero_seed", BPF_F_ZERO_SEED },
	{ "prog_read", BPF_F_RDONLY_PROG },
	{ "prog_write", BPF_F_WRONLY_PROG },
	{ "clone", BPF_F_CLONE },
	{ "mmapable", BPF_F_MMAPABLE },
	{ "no_common_lru", BPF_F_NO_COMMON_LRU },
	{ "stack_build_id", BPF_F_STACK_BUILD_ID },
	{ "preserve_elems", BPF_F_PRESERVE_ELEMS },
	{ "inner_map_resizable", BPF_F_INNER_MAP },
};

/* A name of up to 15 octets; *valid is false for others that are texts. */
static bool read_name(struct term t, char name[MAP_NAME_SIZE], bool *valid)
{
	char text[MAXATOMLEN_UTF8];
	const char *octets;
	size_t size;

	*valid = call_read_text(t, text, sizeof(text)) &&
		 strlen(text) < MAP_NAME_SIZE;
	if (*valid)
		memcpy(name, text, strlen(text) + 1);
	return *valid || term_is_any_atom(t) ||
	       term_read_binary(t, &octets, &size) || call_is_characters(t);
}

/* What options say; the numbers are of the map, the rest of its handle. */
struct settings {
	struct map_spec spec;
	bool named;
	bool name_is_valid;
	enum handles_lifetime lifetime;
};

static bool read_flag(struct term t, uint32_t *flags)
{
	for (size_t i = 0; i < sizeof(map_options) / sizeof(map_options[0]);
	     i++) {
		if (term_is_atom(t, map_options[i].name)) {
			*flags |= map_options[i].flag;
			return true;
		}
	}
	return false;
}

static bool read_lifetime(struct term t, enum handles_lifetime *lifetime)
{
	if (term_is_atom(t, "node"))
		*lifetime = HANDLES_NODE;
	else if (term_is_atom(t, "process"))
		*lifetime = HANDLES_PROCESS;
	else if (term_is_atom(t, "permanent"))
		*lifetime = HANDLES_PERMANENT;
	else
		return false;
	return true;
}

static bool read_flags_number(struct term t, uint32_t *flags)
{
	uint32_t number;

	if (!term_read_uint32(t, &number))
		return false;
	*flags |= number;
	return true;
}

static bool read_numa_node(struct term t, struct map_spec *spec)
{
	spec->flags |= BPF_F_NUMA_NODE;
	return term_read_uint32(t, &spec->numa_node);
}

/* False, with badarg raised unless it is something else. */
static bool read_pair(struct call *call, const struct term pair[2],
		      struct settings *settings)
{
	struct map_spec *spec = &settings->spec;
	bool good = false;

	if (term_is_atom(pair[0], "name")) {
		settings->named = true;
		good = read_name(pair[1], spec->name, &settings->name_is_valid);
	} else if (term_is_atom(pair[0], "inner_map")) {
		if (!call_read_value_map(call, pair[1]))
			return false;
		spec->inner = call->value_map;
		good = true;
	} else if (term_is_atom(pair[0], "map_extra")) {
		good = term_read_uint64(pair[1], &spec->extra);
	} else if (term_is_atom(pair[0], "numa_node")) {
		good = read_numa_node(pair[1], spec);
	} else if (term_is_atom(pair[0], "flags")) {
		good = read_flags_number(pair[1], &spec->flags);
	} else if (term_is_atom(pair[0], "lifetime")) {
		good = read_lifetime(pair[1], &settings->lifetime);
	}
	return good || call_raise(call, RAISED_BADARG);
}

static bool read_options(struct call *call, struct term t,
			 struct settings *settings)
{
	struct term_items items;
	struct term item, pair[2];

	if (!term_list(t, &items))
		return call_raise(call, RAISED_BADARG);
	while (term_next(&items, &item)) {
		if (read_flag(item, &settings->spec.flags))
			continue;
		if (!term_tuple_of(item, pair, 2))
			return call_raise(call, RAISED_BADARG);
		if (!read_pair(call, pair, settings))
			return false;
	}
	return term_end(&items) || call_raise(call, RAISED_BADARG);
}

static bool read_type(struct term t, uint32_t *type)
{
	const char *name;

	for (*type = 0; (name = map_type_name(*type)); (*type)++)
		if (term_is_atom(t, name))
			return true;
	return false;
}

static bool read_spec(struct call *call, struct map_spec *spec)
{
	return read_type(call->args[0], &spec->type) &&
	       term_read_uint32(call->args[1], &spec->key_size) &&
	       term_read_uint32(call->args[2], &spec->value_size) &&
	       term_read_uint32(call->args[3], &spec->max_entries);
}

/* Takes over the map, and writes its handle or an error. */
static bool write_new_handle(struct call *call, struct map *map,
			     enum handles_lifetime lifetime)
{
	struct functions_context *context = call->context;
	struct handles_term term = { .lifetime = lifetime,
				     .process = call->caller.at,
				     .process_size = call->caller.size };
	int error;

	call->map =
		map_ref(map); /* another thread may end the handle at once */
	error = handles_add(context->handles, context->owner, map, &term,
			    &call->ref);

	if (error < 0) {
		map_unref(map);
		return call_write_error(call, error);
	}
	call->watch = lifetime == HANDLES_PROCESS;
	call_write_handle(call, map, &call->ref);
	return true;
}

static bool new_map(struct call *call, const struct settings *settings)
{
	struct map *map = NULL;
	int error = handles_check_room(call->context->handles,
				       call->context->owner);

	if (!call_check_handle_fits(call))
		return false;
	if (error == 0)
		error = map_memory_make(call->context->map_memory,
					&settings->spec, call->context->peer,
					&map);
	if (error < 0)
		return call_write_error(call, error);
	return write_new_handle(call, map, settings->lifetime);
}

bool handle_functions_new4(struct call *call)
{
	struct settings settings = { .lifetime = HANDLES_NODE };

	return read_spec(call, &settings.spec)
		       ? new_map(call, &settings)
		       : call_raise(call, RAISED_BADARG);
}

bool handle_functions_new5(struct call *call)
{
	struct settings settings = { .name_is_valid = true };

	if (!read_spec(call, &settings.spec))
		return call_raise(call, RAISED_BADARG);
	if (!read_options(call, call->args[4], &settings))
		return false;
	if (!settings.name_is_valid)
		return call_write_error(call, -EINVAL);
	return new_map(call, &settings);
}

/* --- open/1,2 ----------------------------------------------------------- */

#define AMBIGUOUS 1 /* beside -errno: several maps have that name */

static int open_named(const char *name, uint32_t flags, struct map **found)
{
	struct map_info info;
	struct map *map;
	uint32_t id = 0;
	int error;

	*found = NULL;
	while ((error = map_next_id(&id)) == 0) {
		error = map_open_id(id, flags, &map);
		if (error == -ENOENT) /* it has gone meanwhile */
			continue;
		if (error < 0)
			break;
		if (map_get_info(map, &info) < 0 ||
		    strcmp(info.name, name) != 0) {
			map_unref(map);
			continue;
		}
		if (*found) {
			map_unref(map);
			map_unref(*found);
			return AMBIGUOUS;
		}
		*found = map;
	}
	if (*found && error == -ENOENT)
		return 0;
	map_unref(*found);
	return error;
}

static bool open_pinned(struct call *call, const char *text, uint32_t flags,
			struct map **map, int *error)
{
	struct pin_path path;

	*error = pin_path_open(&path, call->context->pin_root, text);
	if (*error == -EACCES)
		return refusal_raise(call, REFUSAL_OUTSIDE_PIN_ROOT, text);
	if (*error == 0)
		*error = map_memory_open_pinned(call->context->map_memory,
						path.text, flags, map);
	pin_path_close(&path);
	return true;
}

/* Raises an exception, eperm where ids are not for this process; or else sets
 * *error. */
static bool open_what(struct call *call, uint32_t flags, struct map **map,
		      int *error)
{
	char name[MAP_NAME_SIZE], path[PATH_MAX];
	bool valid;
	struct term what[2];
	uint32_t id;

	if (!term_tuple_of(call->args[0], what, 2))
		return call_raise(call, RAISED_BADARG);
	if (term_is_atom(what[0], "id")) {
		if (!term_read_uint32(what[1], &id))
			return call_raise(call, RAISED_BADARG);
		*error = map_open_id(id, flags, map);
	} else if (term_is_atom(what[0], "pinned")) {
		return call_read_path(call, what[1], path) &&
		       open_pinned(call, path, flags, map, error);
	} else if (term_is_atom(what[0], "name")) {
		if (!read_name(what[1], name, &valid))
			return call_raise(call, RAISED_BADARG);
		*error = valid && name[0] ? open_named(name, flags, map)
					  : -ENOENT;
	} else {
		return call_raise(call, RAISED_BADARG);
	}
	return *error != -EPERM || call_raise_errno(call, *error);
}

/* Who may only read opens to read only, and for no longer than it is there. */
static bool may_open(const struct call *call, const struct settings *settings)
{
	uint32_t flags = settings->spec.flags & (BPF_F_RDONLY | BPF_F_WRONLY);

	return call->context->permission >= PERMISSION_WRITE ||
	       (flags == BPF_F_RDONLY &&
		settings->lifetime != HANDLES_PERMANENT);
}

static bool open_map(struct call *call, const struct settings *settings)
{
	uint32_t flags = settings->spec.flags;
	struct map *map = NULL;
	int error = handles_check_room(call->context->handles,
				       call->context->owner);

	if (!may_open(call, settings))
		return refusal_raise(call, REFUSAL_MAY_ONLY_READ, NULL);
	if (!call_check_handle_fits(call))
		return false;
	if (error == 0 && !open_what(call, flags, &map, &error))
		return false;
	if (error == AMBIGUOUS) {
		term_write_tuple(call->out, 2);
		term_write_atom(call->out, "error");
		term_write_atom(call->out, "ambiguous");
		return true;
	}
	if (error < 0)
		return call_write_error(call, error);
	return write_new_handle(call, map, settings->lifetime);
}

bool handle_functions_open1(struct call *call)
{
	struct settings settings = { .lifetime = HANDLES_NODE };

	return open_map(call, &settings);
}

/* Of the options, only those of a descriptor and of a handle fit here. */
static bool are_for_open(const struct settings *settings)
{
	const struct map_spec *spec = &settings->spec;

	return !(spec->flags & ~(uint32_t)(BPF_F_RDONLY | BPF_F_WRONLY)) &&
	       spec->extra == 0 && !spec->inner && !settings->named;
}

bool handle_functions_open2(struct call *call)
{
	struct settings settings = { .lifetime = HANDLES_NODE };

	if (!read_options(call, call->args[1], &settings))
		return false;
	return are_for_open(&settings) ? open_map(call, &settings)
				       : call_raise(call, RAISED_BADARG);
}

/* --- Handles ------------------------------------------------------------ */

static bool write_ok_or_error(struct call *call, int error)
{
	if (error < 0)
		return call_write_error(call, error);
	term_write_atom(call->out, "ok");
	return true;
}

bool handle_functions_close(struct call *call)
{
	struct functions_context *context = call->context;
	int error = -EBADF;

	if (!call_is_handle(call->args[0]))
		return call_raise_term(call, RAISED_BADMAP, call->args[0]);
	if (call_read_handle_ref(call->args[0], &call->ref)) {
		if (context->permission < PERMISSION_WRITE &&
		    handles_is_others(context->handles, context->owner,
				      &call->ref))
			return refusal_raise(call, REFUSAL_NOT_ITS_OWN, NULL);
		error = handles_close(context->handles, context->owner,
				      &call->ref, &call->unwatch,
				      &call->unwatch_size);
	}
	return write_ok_or_error(call, error);
}

bool handle_functions_fd(struct call *call)
{
	if (!call_read_map(call, call->args[0]))
		return false;
	term_write_uint(call->out, (unsigned)call->map->fd);
	return true;
}

bool handle_functions_type(struct call *call)
{
	if (!call_read_map(call, call->args[0]))
		return false;
	call_write_type(call, call->map->type);
	return true;
}

static bool with_path(struct call *call,
		      int (*operation)(struct call *call,
				       const struct pin_path *path))
{
	char text[PATH_MAX];
	struct pin_path path;
	int error;

	if (!call_read_map(call, call->args[1]) ||
	    !call_read_path(call, call->args[0], text))
		return false;
	error = pin_path_open_place(&path, call->context->pin_root, text);
	if (error == -EACCES)
		return refusal_raise(call, REFUSAL_OUTSIDE_PIN_ROOT, text);
	if (error == 0)
		error = operation(call, &path);
	pin_path_close(&path);
	return write_ok_or_error(call, error);
}

static int pin(struct call *call, const struct pin_path *path)
{
	const struct functions_context *context = call->context;

	map_memory_will_be_pinned(call->map);
	return pin_limit_pin(context->pin_limit, context->pin_root, call->map,
			     path, context->peer);
}

static int unpin(struct call *call, const struct pin_path *path)
{
	return map_unpin(call->map, path->text);
}

bool handle_functions_pin(struct call *call)
{
	return with_path(call, pin);
}

bool handle_functions_unpin(struct call *call)
{
	return with_path(call, unpin);
}

bool handle_functions_freeze(struct call *call)
{
	return call_read_map(call, call->args[0]) &&
	       write_ok_or_error(call, map_freeze(call->map));
}
