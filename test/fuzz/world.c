/* SPDX-License-Identifier: Apache-2.0 */
#include "world.h"

#include <bpf/bpf.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "bpf/map.h"
#include "dist/control.h"
#include "fuzz.h"

#define MAX_MAP_BYTES (1 << 20)
#define IDS 1024

/* --- The fence ---------------------------------------------------------- */

/* The linker redirects calls of libbpf's function to __wrap_. */
int __real_bpf_map_create(enum bpf_map_type type, const char *name,
			  __u32 key_size, __u32 value_size, __u32 max_entries,
			  const struct bpf_map_create_opts *options);
int __wrap_bpf_map_create(enum bpf_map_type type, const char *name,
			  __u32 key_size, __u32 value_size, __u32 max_entries,
			  const struct bpf_map_create_opts *options);
int __real_bpf_map_get_fd_by_id_opts(__u32 id,
				     const struct bpf_get_fd_by_id_opts *o);
int __wrap_bpf_map_get_fd_by_id_opts(__u32 id,
				     const struct bpf_get_fd_by_id_opts *o);
int __wrap_bpf_map_get_next_id(__u32 id, __u32 *next);

/* The ids of the maps that this process created last. */
static struct {
	pthread_mutex_t lock;
	uint32_t ids[IDS];
	unsigned made;
} ours = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void note_id(int fd)
{
	struct bpf_map_info info = { 0 };
	uint32_t size = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &size) < 0)
		return;
	pthread_mutex_lock(&ours.lock);
	ours.ids[ours.made++ % IDS] = info.id;
	pthread_mutex_unlock(&ours.lock);
}

int __wrap_bpf_map_create(enum bpf_map_type type, const char *name,
			  __u32 key_size, __u32 value_size, __u32 max_entries,
			  const struct bpf_map_create_opts *options)
{
	uint64_t entry = (uint64_t)key_size + value_size + 64;
	int fd;

	if (entry * (max_entries ? max_entries : 1) > MAX_MAP_BYTES)
		return -ENOMEM;
	fd = __real_bpf_map_create(type, name, key_size, value_size,
				   max_entries, options);
	if (fd >= 0)
		note_id(fd);
	return fd;
}

static bool is_ours(uint32_t id)
{
	bool found = false;

	pthread_mutex_lock(&ours.lock);
	for (unsigned i = 0; i < IDS && i < ours.made; i++)
		found = found || ours.ids[i] == id;
	pthread_mutex_unlock(&ours.lock);
	return found;
}

int __wrap_bpf_map_get_fd_by_id_opts(__u32 id,
				     const struct bpf_get_fd_by_id_opts *o)
{
	if (id < WORLD_MAPS_MAX && id < ours.made) /* as an input can name it */
		id = ours.ids[id];
	return is_ours(id) ? __real_bpf_map_get_fd_by_id_opts(id, o) : -ENOENT;
}

int __wrap_bpf_map_get_next_id(__u32 id, __u32 *next)
{
	uint32_t least = 0;

	pthread_mutex_lock(&ours.lock);
	for (unsigned i = 0; i < IDS && i < ours.made; i++)
		if (ours.ids[i] > id && (!least || ours.ids[i] < least))
			least = ours.ids[i];
	pthread_mutex_unlock(&ours.lock);
	if (!least)
		return -ENOENT;
	*next = least;
	return 0;
}

struct root world_files;

void world_init(void)
{
	struct rlimit limit = { 1024, 1024 };

	setrlimit(RLIMIT_NOFILE,
		  &limit); /* ei allocates a table of that size */
	log_set_level(getenv("FUZZ_LOG") ? LOG_DEBUG : LOG_ERROR);
	REQUIRE(unshare(CLONE_NEWNS) == 0);
	REQUIRE(mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	REQUIRE(mount("bpf", "/sys/fs/bpf", "bpf", 0, "mode=0700") == 0);
	REQUIRE(mkdir(WORLD_FILES, 0700) == 0);
	REQUIRE(root_open(&world_files, "file-root", WORLD_FILES) == STATUS_OK);
	REQUIRE(map_check_privilege() == 0);
	REQUIRE(ei_init() == 0);
	world_make_maps();
}

/* --- Maps --------------------------------------------------------------- */

/* seeds.py relies on their order. */
static const struct {
	const char *type;
	uint32_t key_size, value_size, max_entries, flags;
} shapes[] = {
	{ "hash", 4, 8, 16, 0 },
	{ "array", 4, 8, 4, 0 },
	{ "percpu_hash", 4, 8, 4, 0 },
	{ "percpu_array", 4, 8, 4, 0 },
	{ "lru_hash", 4, 8, 4, 0 },
	{ "lru_percpu_hash", 4, 8, 12, 0 },
	{ "lpm_trie", 8, 4, 4, BPF_F_NO_PREALLOC },
	{ "queue", 0, 4, 4, 0 },
	{ "stack", 0, 4, 4, 0 },
	{ "bloom_filter", 0, 4, 64, 0 },
	{ "array_of_maps", 4, 4, 4, 0 },
	{ "hash_of_maps", 4, 4, 4, 0 },
	{ "devmap", 4, 8, 4, 0 },
	{ "devmap_hash", 4, 8, 4, 0 },
	{ "cpumap", 4, 8, 2, 0 },
	{ "prog_array", 4, 4, 4, 0 },
	{ "perf_event_array", 4, 4, 2, 0 },
	{ "cgroup_array", 4, 4, 4, 0 },
	{ "stack_trace", 4, 8, 8, 0 },
	{ "sockmap", 4, 8, 4, 0 },
	{ "inode_storage", 4, 8, 0, BPF_F_NO_PREALLOC },
	{ "task_storage", 4, 8, 0, BPF_F_NO_PREALLOC },
	{ "ringbuf", 0, 0, 4096, 0 },
	{ "hash", 16, 100, 100, BPF_F_NO_PREALLOC },
};

#define SHAPES (sizeof(shapes) / sizeof(shapes[0]))

static struct map *maps[SHAPES];

static uint32_t type_of(const char *name)
{
	const char *known;

	for (uint32_t type = 0; (known = map_type_name(type)); type++)
		if (strcmp(known, name) == 0)
			return type;
	return 0;
}

static void fill(struct map *map)
{
	char key[64] = { 0 }, *value = calloc(1, map_entry_size(map) + 1);

	REQUIRE(value);
	value[0] = 1;
	/* one, as the kernel is slow with a map of maps */
	for (char i = 0; i < (map->traits & MAP_VALUE_IS_MAP ? 1 : 4); i++) {
		if (map->traits & MAP_VALUE_IS_MAP)
			memcpy(value, &maps[0]->resource.fd,
			       sizeof(maps[0]->resource.fd));
		key[0] = map->traits & MAP_PREFIX_LOOKUP ? (char)(8 * i) : i;
		map_put(map, key, value); /* not all types accept it */
	}
	free(value);
}

void world_make_maps(void)
{
	for (size_t i = 0; i < SHAPES; i++) {
		struct map_spec spec = {
			.type = type_of(shapes[i].type),
			.key_size = shapes[i].key_size,
			.value_size = shapes[i].value_size,
			.max_entries = shapes[i].max_entries,
			.flags = shapes[i].flags,
			.inner = strstr(shapes[i].type, "_of_maps") ? maps[0]
								    : NULL,
		};

		map_unref(maps[i]);
		REQUIRE(map_new(&spec, &maps[i]) == 0);
		fill(maps[i]);
	}
}

unsigned world_maps(void)
{
	return SHAPES;
}

void world_hold_maps(struct handles *handles, struct handles_owner *owner)
{
	struct handles_lease lease = { .lifetime = HANDLES_NODE };
	erlang_ref ref;

	for (size_t i = 0; i < SHAPES; i++)
		REQUIRE(handles_add(handles, owner,
				    resource_ref(&maps[i]->resource), &lease,
				    &ref) == 0);
}

void world_check_released(void)
{
	for (size_t i = 0; i < SHAPES; i++)
		REQUIRE(atomic_load(&maps[i]->resource.refs) == 1);
}

/* --- Handles in the input ----------------------------------------------- */

struct live {
	erlang_ref refs[WORLD_MAPS_MAX];
	unsigned count;
};

static void collect(const struct handles_info *info, void *context)
{
	struct live *live = context;

	if (live->count < WORLD_MAPS_MAX)
		live->refs[live->count++] = *info->ref;
}

void world_put_handles(struct handles *handles, char *bytes, size_t size)
{
	static const char head[] = { ERL_NEWER_REFERENCE_EXT, 0, 3,
				     ERL_SMALL_ATOM_UTF8_EXT,
				     sizeof(WORLD_NODE) - 1 };
	const size_t front = sizeof(head) + sizeof(WORLD_NODE) - 1;
	struct live live = { .count = 0 };
	char *at = bytes;
	int end;

	while ((at = memmem(at, size - (size_t)(at - bytes), head,
			    sizeof(head)))) {
		char *numbers = at + front; /* creation, three words */
		char ref[sizeof(erlang_ref)];

		at += sizeof(head);
		if (size - (size_t)(at - bytes) < front - sizeof(head) + 16 ||
		    memcmp(at, WORLD_NODE, front - sizeof(head)) != 0 ||
		    numbers[4] < 0)
			continue;
		if (live.count == 0)
			handles_each(handles, &map_kind, 0, collect, &live);
		if (live.count == 0)
			return;
		end = 0;
		ei_encode_ref(
			ref, &end,
			&live.refs[(unsigned char)numbers[7] % live.count]);
		memcpy(numbers, ref + end - 16, 16);
	}
}

/* --- Answers ------------------------------------------------------------ */

void world_check_packets(const char *bytes, size_t size)
{
	while (size > 0) {
		const unsigned char *u = (const unsigned char *)bytes;
		struct control_message message;
		size_t length;
		char *packet;

		REQUIRE(size >= CONTROL_LENGTH_SIZE);
		length = (size_t)u[0] << 24 | u[1] << 16 | u[2] << 8 | u[3];
		REQUIRE(length <= size - CONTROL_LENGTH_SIZE);
		packet = fuzz_copy(bytes + CONTROL_LENGTH_SIZE, length);
		REQUIRE(length == 0 ||
			control_parse(packet, length, true, &message) == 0);
		free(packet);
		bytes += CONTROL_LENGTH_SIZE + length;
		size -= CONTROL_LENGTH_SIZE + length;
	}
}

int world_free_fd(void)
{
	int fd = dup(STDERR_FILENO);

	REQUIRE(fd >= 0);
	close(fd);
	return fd;
}
