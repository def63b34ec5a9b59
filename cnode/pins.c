/* SPDX-License-Identifier: Apache-2.0 */
/* Pins of maps: where they may be, and which there are. */
#include "pins.h"

#include <errno.h>
#include <fts.h>
#include <linux/magic.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
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

static int look_at(struct pins *pins, const FTSENT *entry)
{
	struct map *map;
	int error;

	if (entry->fts_info != FTS_F && entry->fts_info != FTS_DEFAULT)
		return 0;
	if (map_open_pinned(entry->fts_path, 0, &map) < 0)
		return 0; /* a program or a link, or it has gone */
	error = add(pins, map->id, entry->fts_path);
	map_unref(map);
	return error;
}

static int find_below(struct pins *pins, char *root)
{
	char *roots[] = { root, NULL };
	FTS *tree =
		fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
	FTSENT *entry;
	int error = 0;

	if (!tree)
		return -errno;
	while (error == 0 && (entry = fts_read(tree)))
		error = look_at(pins, entry);
	fts_close(tree);
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
		return 0;
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
