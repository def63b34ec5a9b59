/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel knows of an open map. */
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/map.h"

/* The number after a label, as in "memlock:	4096". */
static bool read_number(const char *line, const char *label, uint64_t *number)
{
	size_t size = strlen(label);

	if (strncmp(line, label, size) != 0)
		return false;
	*number = strtoull(line + size, NULL, 10);
	return true;
}

static FILE *open_fdinfo(int fd)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	return fopen(path, "re");
}

/* memlock and frozen are only in /proc/self/fdinfo. */
static int read_fdinfo(int fd, struct map_info *info)
{
	FILE *file = open_fdinfo(fd);
	uint64_t number;
	char line[128];

	if (!file)
		return -errno;
	while (fgets(line, sizeof(line), file)) {
		if (read_number(line, "memlock:", &number))
			info->memlock = number;
		else if (read_number(line, "frozen:", &number))
			info->frozen = number;
	}
	fclose(file);
	return 0;
}

int map_read_access(int fd, uint32_t *flags)
{
	static const char label[] = "flags:";
	FILE *file = open_fdinfo(fd);
	int error = -EINVAL;
	unsigned long mode;
	char line[128];

	if (!file)
		return -errno;
	while (error < 0 && fgets(line, sizeof(line), file)) {
		if (strncmp(line, label, sizeof(label) - 1) != 0)
			continue;
		mode = strtoul(line + sizeof(label) - 1, NULL, 8) & O_ACCMODE;
		*flags = mode == O_RDONLY   ? BPF_F_RDONLY
			 : mode == O_WRONLY ? BPF_F_WRONLY
					    : 0;
		error = 0;
	}
	fclose(file);
	return error;
}

int map_get_memory(const struct map *map, uint64_t *bytes)
{
	struct map_info info = { 0 };
	int error = read_fdinfo(map->resource.fd, &info);

	*bytes = info.memlock;
	return error;
}

int map_get_info(const struct map *map, struct map_info *info)
{
	struct bpf_map_info kernel = { 0 };
	uint32_t size = sizeof(kernel);
	int error = bpf_obj_get_info_by_fd(map->resource.fd, &kernel, &size);

	if (error < 0)
		return error;
	*info = (struct map_info){
		.id = kernel.id,
		.type = kernel.type,
		.key_size = kernel.key_size,
		.value_size = kernel.value_size,
		.max_entries = kernel.max_entries,
		.flags = kernel.map_flags,
		.btf_id = kernel.btf_id,
		.btf_key_type = kernel.btf_key_type_id,
		.btf_value_type = kernel.btf_value_type_id,
	};
	memcpy(info->name, kernel.name, sizeof(info->name) - 1);
	return read_fdinfo(map->resource.fd, info);
}

void map_describe(const struct resource *resource, struct resource_text *text)
{
	const struct map *map = (const struct map *)resource;
	const char *type = map_type_name(map->type);
	struct map_info info = { .name = "" };

	if (type)
		snprintf(text->type, sizeof(text->type), "%s", type);
	else
		snprintf(text->type, sizeof(text->type), "%u", map->type);
	if (map_get_info(map, &info) == 0)
		memcpy(text->name, info.name, sizeof(text->name));
	if (resource->restricted)
		text->access = map->write_only ? "write" : "read";
}
