/* SPDX-License-Identifier: Apache-2.0 */
/* Pins of a map in a bpf file system: making one, and removing that of this map
 * only. */
#include <bpf/bpf.h>
#include <errno.h>
#include <libgen.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "bpf/map.h"

int map_pin(const struct map *map, const char *path)
{
	return bpf_obj_pin(map->resource.fd, path);
}

/* -EPERM unless path itself, not a link's target, is in a bpf file system. */
static int check_pin(const char *path)
{
	struct stat status;
	struct statfs system;
	char *copy = strdup(path);
	int error = 0;

	if (!copy)
		return -ENOMEM;
	if (lstat(path, &status) < 0 || statfs(dirname(copy), &system) < 0)
		error = -errno;
	else if (!S_ISREG(status.st_mode) || system.f_type != BPF_FS_MAGIC)
		error = -EPERM;
	free(copy);
	return error;
}

int map_unpin(const struct map *map, const char *path)
{
	int error = check_pin(path);
	uint32_t id;

	if (error == 0)
		error = map_pinned_id(path, map->resource.id, &id);
	if (error == 0 && unlink(path) < 0)
		error = -errno;
	return error;
}
