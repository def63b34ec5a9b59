/* SPDX-License-Identifier: Apache-2.0 */
/* Pins of maps: where they may be, and which there are. */
#include "pins.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <linux/bpf.h>
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

#include "map.h"

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

static int add(struct pins *pins, uint32_t map_id, const char *path)
{
	struct pin *list =
		realloc(pins->list, (pins->count + 1) * sizeof(*pins->list));

	if (!list)
		return -ENOMEM;
	pins->list = list;
	list[pins->count].map_id = map_id;
	list[pins->count].path = strdup(path);
	if (!list[pins->count].path)
		return -ENOMEM;
	pins->count++;
	return 0;
}

/* Folders that are still to be looked through. Not fts(3): without memory
 * glibc's fts_open() writes to where there is none. */
struct folder {
	STAILQ_ENTRY(folder) others;
	char path[];
};

STAILQ_HEAD(folders, folder);

static int add_folder(struct folders *folders, const char *path)
{
	size_t size = strlen(path) + 1;
	struct folder *folder = malloc(sizeof(*folder) + size);

	if (!folder)
		return -ENOMEM;
	memcpy(folder->path, path, size);
	STAILQ_INSERT_TAIL(folders, folder, others);
	return 0;
}

static int look_at(struct pins *pins, struct folders *folders, const char *path,
		   unsigned char type)
{
	struct map *map;
	int error;

	if (type == DT_DIR)
		return add_folder(folders, path);
	if (type != DT_REG)
		return 0;
	/* to read, as on a read-only file system there is nothing else */
	error = map_open_pinned(path, BPF_F_RDONLY, &map);
	if (error < 0) /* a program or a link, or it has gone */
		return error == -ENOMEM ? error : 0;
	error = add(pins, map->id, path);
	map_unref(map);
	return error;
}

static bool is_on(int fd, dev_t device)
{
	struct stat status;

	return fstat(fd, &status) == 0 && status.st_dev == device;
}

/* What is mounted below is walked as a mount of its own. */
static int look_through(struct pins *pins, struct folders *folders,
			const char *folder, dev_t device)
{
	DIR *entries = opendir(folder);
	const struct dirent *entry;
	char path[PATH_MAX];
	int error = 0;

	if (!entries)
		return errno == ENOMEM ? -ENOMEM : 0;
	if (!is_on(dirfd(entries), device)) {
		closedir(entries);
		return 0;
	}
	while (error == 0 && (entry = readdir(entries))) {
		if (strcmp(entry->d_name, ".") == 0 ||
		    strcmp(entry->d_name, "..") == 0 ||
		    snprintf(path, sizeof(path), "%s/%s", folder,
			     entry->d_name) >= PATH_MAX)
			continue;
		error = look_at(pins, folders, path, entry->d_type);
	}
	closedir(entries);
	return error;
}

static int find_below(struct pins *pins, const char *root)
{
	struct folders folders = STAILQ_HEAD_INITIALIZER(folders);
	struct folder *folder;
	struct stat status;
	int error;

	if (stat(root, &status) < 0)
		return 0;
	error = add_folder(&folders, root);
	while ((folder = STAILQ_FIRST(&folders))) {
		STAILQ_REMOVE_HEAD(&folders, others);
		if (error == 0)
			error = look_through(pins, &folders, folder->path,
					     status.st_dev);
		free(folder);
	}
	return error;
}

int pins_find(struct pins *pins)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	struct mntent entry;
	char text[4096];
	int error = 0;

	memset(pins, 0, sizeof(*pins));
	if (!mounts)
		return errno == ENOMEM ? -ENOMEM : 0;
	while (error == 0 && getmntent_r(mounts, &entry, text, sizeof(text)))
		if (strcmp(entry.mnt_type, "bpf") == 0)
			error = find_below(pins, entry.mnt_dir);
	endmntent(mounts);
	if (error < 0)
		pins_free(pins);
	return error == -ENOMEM ? error : 0;
}

void pins_free(struct pins *pins)
{
	for (size_t i = 0; i < pins->count; i++)
		free(pins->list[i].path);
	free(pins->list);
	memset(pins, 0, sizeof(*pins));
}
