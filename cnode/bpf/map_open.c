/* SPDX-License-Identifier: Apache-2.0 */
/* Creates and opens maps, by id and by pin; freezes them. */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bpf/map.h"
#include "bpf/map_lock.h"
#include "bpf/map_types.h"
#include "bpf/retry.h"

int map_check_privilege(void)
{
	LIBBPF_OPTS(bpf_map_create_opts, options,
		    .map_flags = BPF_F_NO_PREALLOC);
	/* no sysctl allows this type without CAP_BPF */
	int fd = bpf_map_create(BPF_MAP_TYPE_LPM_TRIE, "ebpf_cnode", 8, 1, 1,
				&options);

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

/*
 * Reads back what the kernel created, which can differ from the request. Only
 * a value with a BTF type can have a bpf_spin_lock.
 */
static int describe(struct map *map, bool *has_type)
{
	struct bpf_map_info info = { 0 };
	uint32_t size = sizeof(info);
	int error = bpf_obj_get_info_by_fd(map->resource.fd, &info, &size);
	int cpus;

	if (error < 0)
		return error;
	map->resource.id = info.id;
	map->type = info.type;
	*has_type = info.btf_value_type_id > 0;
	map->key_size = info.key_size;
	map->value_size = info.value_size;
	map->max_entries = info.max_entries;
	map->traits = map_types_traits(info.type);
	if (info.map_flags & BPF_F_ZERO_SEED)
		map->traits |= MAP_NO_SEED;
	map->cpus = 1;
	map->value_stride = info.value_size;
	if (map->traits & MAP_PER_CPU) {
		cpus = libbpf_num_possible_cpus();
		if (cpus < 0)
			return cpus;
		map->cpus = (unsigned)cpus;
		map->value_stride =
			((size_t)info.value_size + MAP_TYPES_VALUE_ALIGN - 1) /
			MAP_TYPES_VALUE_ALIGN * MAP_TYPES_VALUE_ALIGN;
	}
	return 0;
}

/* Without atomic take the map gets a lock, without batches no MAP_BUCKETS. */
static int apply_abilities(struct map *map)
{
	int abilities = map_types_abilities(map->type);

	if (abilities < 0)
		return abilities;
	if (!(abilities & MAP_TYPES_BUCKETS))
		map->traits &= ~(unsigned)MAP_BUCKETS;
	if (abilities & MAP_TYPES_TAKE)
		return 0;
	map->lock = map_lock_open(map->resource.id);
	return map->lock ? 0 : -ENOMEM;
}

/*
 * True if values have a bpf_spin_lock. Their BTF would tell, but this process
 * may not be allowed to read it. Without a lock, BPF_F_LOCK is EINVAL before
 * any other check; with one, the NULL value is EFAULT. EPERM if the descriptor
 * does not allow the command.
 */
static bool has_locks(int fd)
{
	int error = bpf_map_lookup_elem_flags(fd, NULL, NULL, BPF_F_LOCK);

	if (error == -EPERM)
		error = bpf_map_update_elem(fd, NULL, NULL, BPF_F_LOCK);
	return error == -EFAULT;
}

/* --- Hidden ones --------------------------------------------------------- */

/*
 * Locked to write from before a hidden map is made, which gives it an id that
 * can be guessed, until that id is here. So whoever has opened a map meanwhile
 * finds that it is hidden.
 */
static struct {
	pthread_rwlock_t lock;
	uint32_t ids[MAP_MAX_HIDDEN];
	unsigned count;
} hidden = { .lock = PTHREAD_RWLOCK_INITIALIZER };

static bool find_hidden(uint32_t id, unsigned *place)
{
	for (*place = 0; *place < hidden.count; ++*place)
		if (hidden.ids[*place] == id)
			return true;
	return false;
}

static bool is_hidden(uint32_t id)
{
	unsigned place;
	bool found;

	pthread_rwlock_rdlock(&hidden.lock);
	found = find_hidden(id, &place);
	pthread_rwlock_unlock(&hidden.lock);
	return found;
}

static int hide(int fd)
{
	struct bpf_map_info info = { 0 };
	uint32_t size = sizeof(info);
	int error = hidden.count < MAP_MAX_HIDDEN
			    ? bpf_obj_get_info_by_fd(fd, &info, &size)
			    : -ENOSPC;

	if (error == 0)
		hidden.ids[hidden.count++] = info.id;
	return error;
}

int map_hide(int fd)
{
	int error;

	pthread_rwlock_wrlock(&hidden.lock);
	error = hide(fd);
	pthread_rwlock_unlock(&hidden.lock);
	return error;
}

int map_new_hidden(uint32_t value_size, uint32_t max_entries)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE);
	int fd, error;

	pthread_rwlock_wrlock(&hidden.lock);
	fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "ebpf_cnode", sizeof(uint32_t),
			    value_size, max_entries, &options);
	error = fd < 0 ? fd : hide(fd);
	pthread_rwlock_unlock(&hidden.lock);
	if (error < 0 && fd >= 0)
		close(fd);
	return error < 0 ? error : fd;
}

void map_close_hidden(int fd)
{
	struct bpf_map_info info = { 0 };
	uint32_t size = sizeof(info);
	unsigned place;

	if (bpf_obj_get_info_by_fd(fd, &info, &size) < 0)
		info.id = 0;
	pthread_rwlock_wrlock(&hidden.lock);
	if (find_hidden(info.id, &place))
		hidden.ids[place] = hidden.ids[--hidden.count];
	close(fd);
	pthread_rwlock_unlock(&hidden.lock);
}

/*
 * Takes over fd, which was opened with those flags, even on failure. A map
 * created here never has a bpf_spin_lock.
 */
static int map_from_fd(int fd, uint32_t flags, bool created,
		       struct map **result)
{
	struct map *map = calloc(1, sizeof(*map));
	bool has_type = false;
	int error = -ENOMEM;

	if (!map) {
		close(fd);
		return error;
	}
	resource_init(&map->resource, &map_kind, fd);
	map->resource.restricted = flags & (BPF_F_RDONLY | BPF_F_WRONLY);
	map->write_only = flags & BPF_F_WRONLY;
	error = describe(map, &has_type);
	if (error == 0 && is_hidden(map->resource.id))
		error = -ENOENT;
	if (error == 0)
		error = apply_abilities(map);
	if (error < 0) {
		map_unref(map);
		return error;
	}
	if (!created && has_type && has_locks(fd))
		map->access = BPF_F_LOCK;
	*result = map;
	return 0;
}

/*
 * Local storage requires BTF for its key and value. Adds a type of size bytes;
 * returns its id or -errno.
 */
static int add_bytes_type(struct btf *btf, uint32_t size)
{
	int byte, index;

	if (size == 1 || size == 2 || size == 4 || size == 8)
		return btf__add_int(btf, "integer", size, 0);
	byte = btf__add_int(btf, "byte", 1, 0);
	index = btf__add_int(btf, "index", 4, 0);
	return byte < 0 || index < 0
		       ? -ENOMEM
		       : btf__add_array(btf, index, byte, (int)size);
}

static int load_storage_btf(const struct map_spec *spec, struct btf **btf,
			    struct bpf_map_create_opts *options)
{
	int key, value, error;

	*btf = btf__new_empty();
	if (!*btf)
		return -errno;
	key = btf__add_int(*btf, "key", 4, BTF_INT_SIGNED);
	value = key < 0 ? key : add_bytes_type(*btf, spec->value_size);
	if (value < 0)
		return value;
	error = btf__load_into_kernel(*btf);
	if (error < 0)
		return error;
	options->btf_fd = (uint32_t)btf__fd(*btf);
	options->btf_key_type_id = (uint32_t)key;
	options->btf_value_type_id = (uint32_t)value;
	return 0;
}

static int create_fd(const struct map_spec *spec,
		     const struct bpf_map_create_opts *options)
{
	return bpf_map_create((enum bpf_map_type)spec->type,
			      spec->name[0] ? spec->name : NULL, spec->key_size,
			      spec->value_size, spec->max_entries, options);
}

/*
 * The kernel takes no types for queues, stacks, rings and maps of sockets and
 * the like, and for some others only those of a certain form: an array's key
 * must be an integer, that of an lpm_trie a structure. Which ones depends on
 * its version, so it is asked, as libbpf does.
 */
static bool refuses_types(int error)
{
	return error == -EINVAL || error == -KERNEL_ENOTSUPP;
}

static int create_typed(const struct map_spec *spec,
			const struct bpf_map_create_opts *untyped)
{
	struct bpf_map_create_opts options = *untyped;

	options.btf_fd = (uint32_t)spec->btf_fd;
	options.btf_key_type_id = spec->btf_key_type;
	options.btf_value_type_id = spec->btf_value_type;
	return create_fd(spec, &options);
}

static int create_untyped(const struct map_spec *spec,
			  struct bpf_map_create_opts *options)
{
	struct btf *btf = NULL;
	int fd = 0;

	if (map_types_traits(spec->type) & MAP_KEY_IS_FD)
		fd = load_storage_btf(spec, &btf, options);
	if (fd == 0)
		fd = create_fd(spec, options);
	btf__free(btf);
	return fd;
}

static int create(const struct map_spec *spec, struct map **map)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = spec->flags,
		    .map_extra = spec->extra, .numa_node = spec->numa_node,
		    .inner_map_fd = spec->inner
					    ? (uint32_t)spec->inner->resource.fd
					    : 0);
	int fd = spec->btf_fd > 0 ? create_typed(spec, &options) : -EINVAL;

	if (refuses_types(fd))
		fd = create_untyped(spec, &options);
	return fd < 0 ? fd : map_from_fd(fd, spec->flags, true, map);
}

int map_new(const struct map_spec *spec, struct map **map)
{
	struct retry retry = { .stopped = spec->stopped };
	int error;

	do
		error = create(spec, map);
	while (retry_after(&retry, error));
	return map_error(error);
}

/* --- By id --------------------------------------------------------------- */

int map_open_id(uint32_t id, uint32_t flags, struct map **map)
{
	LIBBPF_OPTS(bpf_get_fd_by_id_opts, options, .open_flags = flags);
	int fd = bpf_map_get_fd_by_id_opts(id, &options);

	return fd < 0 ? fd : map_from_fd(fd, flags, false, map);
}

int map_open_pinned(const char *path, uint32_t flags, struct map **map)
{
	LIBBPF_OPTS(bpf_obj_get_opts, options, .file_flags = flags);
	int fd = bpf_obj_get_opts(path, &options);
	int error = fd < 0 ? fd : resource_check_kind(fd, &map_kind);

	if (error < 0) {
		if (fd >= 0)
			close(fd);
		return error;
	}
	return map_from_fd(fd, flags, false, map);
}

int map_adopt(int fd, struct map **map)
{
	uint32_t flags = 0;
	int error = resource_check_kind(fd, &map_kind);

	if (error == 0)
		error = map_read_access(fd, &flags);
	if (error < 0) {
		close(fd);
		return error;
	}
	return map_from_fd(fd, flags, false, map);
}

static void copy_description(struct map *view, const struct map *map)
{
	view->resource.id = map->resource.id;
	view->resource.restricted = map->resource.restricted;
	view->type = map->type;
	view->key_size = map->key_size;
	view->value_size = map->value_size;
	view->max_entries = map->max_entries;
	view->cpus = map->cpus;
	view->value_stride = map->value_stride;
	view->traits = map->traits;
	view->access = map->access;
	view->write_only = map->write_only;
}

int map_open_view(const struct map *map, struct map **view)
{
	int fd = fcntl(map->resource.fd, F_DUPFD_CLOEXEC, 0);
	struct map *made;

	if (fd < 0)
		return -errno;
	made = calloc(1, sizeof(*made));
	if (!made) {
		close(fd);
		return -ENOMEM;
	}
	resource_init(&made->resource, &map_kind, fd);
	copy_description(made, map);
	if (map->lock)
		made->lock = map_lock_open(made->resource.id);
	if (map->lock && !made->lock) {
		map_unref(made);
		return -ENOMEM;
	}
	*view = made;
	return 0;
}

int map_next_id(uint32_t *id)
{
	int error;

	do
		error = bpf_map_get_next_id(*id, id);
	while (error == 0 && is_hidden(*id));
	return error;
}

bool map_may_open_by_id(void)
{
	uint32_t id = 0;

	return map_next_id(&id) != -EPERM;
}

int map_freeze(const struct map *map)
{
	return map_error(bpf_map_freeze(map->resource.fd));
}
