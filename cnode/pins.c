/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pins: where they may be, and which there are. There is no list of them but
 * the folders of bpf file systems, and no telling what is pinned but to open
 * it.
 */
#include "pins.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <linux/magic.h>
#include <mntent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "map.h"
#include "names.h"

int pins_mount(void)
{
	struct statfs status;

	if (statfs(PINS_ROOT, &status) < 0)
		return -errno;
	if (status.f_type == BPF_FS_MAGIC)
		return 0;
	return mount("bpf", PINS_ROOT, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		     "mode=0700") < 0
		       ? -errno
		       : 1;
}

/* --- Walking ------------------------------------------------------------- */

/* Called with the path of each file; what is not 0 ends the walk. */
typedef int (*visitor)(void *context, const char *path);

/* Folders that are still to be looked through. Not fts(3): without memory
 * glibc's fts_open() writes to where there is none. */
struct folder {
	STAILQ_ENTRY(folder) others;
	dev_t device;
	ino_t inode; /* of those where the walk begins */
	char path[];
};

STAILQ_HEAD(folders, folder);

struct walk {
	struct folders folders;
	visitor visit;
	void *context;
	bool once; /* a folder that is mounted at two places is one */
};

/* Of errors, those that are not what was looked at, but our own; 0 else. */
static int shortage(int error)
{
	return error == ENOMEM || error == EMFILE || error == ENFILE ? -error
								     : 0;
}

static int add_folder(struct walk *walk, const char *path, dev_t device,
		      ino_t inode)
{
	size_t size = strlen(path) + 1;
	struct folder *folder = malloc(sizeof(*folder) + size);

	if (!folder)
		return -ENOMEM;
	folder->device = device;
	folder->inode = inode;
	memcpy(folder->path, path, size);
	STAILQ_INSERT_TAIL(&walk->folders, folder, others);
	return 0;
}

/* Of mounts that hide each other all are listed, by one path: that of the last.
 */
static int begin_at(struct walk *walk, const char *path)
{
	const struct folder *other;
	struct statfs system;
	struct stat status;

	if (stat(path, &status) < 0 || statfs(path, &system) < 0)
		return shortage(errno);
	if (system.f_type != BPF_FS_MAGIC)
		return 0;
	STAILQ_FOREACH(other, &walk->folders, others)
	{
		if (other->device == status.st_dev &&
		    other->inode == status.st_ino &&
		    (walk->once || strcmp(other->path, path) == 0))
			return 0;
	}
	return add_folder(walk, path, status.st_dev, status.st_ino);
}

/* At all bpf file systems, or those that are mounted below a folder. */
static int begin_at_mounts(struct walk *walk, const char *below)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	struct mntent entry;
	char text[4096];
	int error = 0;

	if (!mounts)
		return -errno;
	while (error == 0 && getmntent_r(mounts, &entry, text, sizeof(text)))
		if (strcmp(entry.mnt_type, "bpf") == 0 &&
		    (!below || names_below(below, entry.mnt_dir)))
			error = begin_at(walk, entry.mnt_dir);
	endmntent(mounts);
	return error;
}

static int look_at(struct walk *walk, const struct folder *folder,
		   const struct dirent *entry)
{
	char path[PATH_MAX];

	/* . and .., and the kernel's own: no name of a pin has a dot */
	if (strchr(entry->d_name, '.') ||
	    snprintf(path, sizeof(path), "%s/%s", folder->path,
		     entry->d_name) >= PATH_MAX)
		return 0;
	if (entry->d_type == DT_DIR)
		return add_folder(walk, path, folder->device, 0);
	return entry->d_type == DT_REG ? walk->visit(walk->context, path) : 0;
}

static bool is_on(int fd, dev_t device)
{
	struct stat status;

	return fstat(fd, &status) == 0 && status.st_dev == device;
}

/* What is mounted below is walked as a mount of its own. */
static int look_through(struct walk *walk, const struct folder *folder)
{
	DIR *entries = opendir(folder->path);
	const struct dirent *entry;
	int result = 0;

	if (!entries)
		return shortage(errno);
	if (is_on(dirfd(entries), folder->device))
		while (result == 0 && (entry = readdir(entries)))
			result = look_at(walk, folder, entry);
	closedir(entries);
	return result;
}

/* What a visitor returned, 0 or -errno; result is that of the beginning. */
static int go_on(struct walk *walk, int result)
{
	struct folder *folder;

	while ((folder = STAILQ_FIRST(&walk->folders))) {
		STAILQ_REMOVE_HEAD(&walk->folders, others);
		if (result == 0)
			result = look_through(walk, folder);
		free(folder);
	}
	return result;
}

/* --- Which there are ----------------------------------------------------- */

struct search {
	struct pins *pins;
	size_t room;
	uint32_t only; /* that map; 0: any */
};

static int add(struct search *search, uint32_t map_id, const char *path)
{
	struct pins *pins = search->pins;
	size_t room = search->room;
	struct pin *list = pins->list;

	if (pins->count == room) {
		room = room > 0 ? 2 * room : 16;
		list = realloc(list, room * sizeof(*list));
		if (!list)
			return -ENOMEM;
		pins->list = list;
		search->room = room;
	}
	list += pins->count;
	list->map_id = map_id;
	list->path = strdup(path);
	if (!list->path)
		return -ENOMEM;
	pins->count++;
	return 0;
}

static int find_pin(void *context, const char *path)
{
	struct search *search = context;
	uint32_t id;
	int error = map_pinned_id(path, search->only, &id);

	if (error < 0) /* a program, a link, another map, or it has gone */
		return shortage(-error);
	return add(search, id, path);
}

static int by_map_id(const void *a, const void *b)
{
	uint32_t left = ((const struct pin *)a)->map_id;
	uint32_t right = ((const struct pin *)b)->map_id;

	return (left > right) - (left < right);
}

int pins_find_of(struct pins *pins, uint32_t map_id)
{
	struct search search = { .pins = pins, .only = map_id };
	struct walk walk = { .folders = STAILQ_HEAD_INITIALIZER(walk.folders),
			     .visit = find_pin,
			     .context = &search };
	int error;

	memset(pins, 0, sizeof(*pins));
	error = go_on(&walk, shortage(-begin_at_mounts(&walk, NULL)));
	if (error < 0)
		pins_free(pins);
	else if (pins->count > 0)
		qsort(pins->list, pins->count, sizeof(*pins->list), by_map_id);
	return error;
}

int pins_find(struct pins *pins)
{
	return pins_find_of(pins, 0);
}

const struct pin *pins_of(const struct pins *pins, uint32_t map_id,
			  size_t *count)
{
	size_t low = 0, high = pins->count, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (pins->list[middle].map_id < map_id)
			low = middle + 1;
		else
			high = middle;
	}
	*count = 0;
	while (low + *count < pins->count &&
	       pins->list[low + *count].map_id == map_id)
		++*count;
	return *count > 0 ? pins->list + low : NULL;
}

void pins_free(struct pins *pins)
{
	for (size_t i = 0; i < pins->count; i++)
		free(pins->list[i].path);
	free(pins->list);
	memset(pins, 0, sizeof(*pins));
}

/* --- How many ------------------------------------------------------------ */

static int count_pin(void *context, const char *path)
{
	uint32_t *left = context;

	(void)path;
	return --*left == 0;
}

/* Where it is now, and not where it was when it was opened. */
static int begin_below(struct walk *walk, int root)
{
	char link[32], path[PATH_MAX];
	ssize_t n;
	int error;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", root);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return -errno;
	path[n] = '\0';
	error = begin_at(walk, link);
	return error < 0 ? error : begin_at_mounts(walk, path);
}

int pins_reach(int root, uint32_t max)
{
	uint32_t left = max;
	struct walk walk = { .folders = STAILQ_HEAD_INITIALIZER(walk.folders),
			     .visit = count_pin,
			     .context = &left,
			     .once = true };

	return go_on(&walk, root < 0 ? begin_at_mounts(&walk, NULL)
				     : begin_below(&walk, root));
}
