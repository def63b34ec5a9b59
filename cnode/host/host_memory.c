/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of this host, and the memory limit of our cgroup and those above
 * it, of version 2 or 1. Not from /proc/meminfo, which is often hidden from
 * services.
 */
#include "host/host_memory.h"

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

/* Where cgroups are mounted, and the file with the limit. */
static const struct {
	const char *controllers; /* as in /proc/self/cgroup */
	const char *root, *file;
} hierarchies[] = {
	{ "", "/sys/fs/cgroup", "memory.max" },
	{ "", "/sys/fs/cgroup/unified", "memory.max" },
	{ "memory", "/sys/fs/cgroup/memory", "memory.limit_in_bytes" },
};

#define HIERARCHIES (sizeof(hierarchies) / sizeof(hierarchies[0]))

/* Reads a string, cut off at size. False if it cannot be read. */
static bool read_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t length = 0;
	ssize_t n = 1;

	if (fd < 0)
		return false;
	while (n > 0 && length < size - 1) {
		n = read(fd, text + length, size - 1 - length);
		length += n > 0 ? (size_t)n : 0;
	}
	text[length] = '\0';
	close(fd);
	return n >= 0;
}

/* UINT64_MAX if there is none, or it is "max". */
static uint64_t read_limit(const char *path)
{
	char text[32];

	return read_text(path, text, sizeof(text)) && text[0] >= '0' &&
			       text[0] <= '9'
		       ? strtoull(text, NULL, 10)
		       : UINT64_MAX;
}

/* Of a cgroup and all above it, as far as the namespace shows them. */
static uint64_t least_limit(size_t i, const char *cgroup)
{
	char folder[PATH_MAX], path[PATH_MAX + 32];
	uint64_t limit, least = UINT64_MAX;
	size_t root = strlen(hierarchies[i].root);
	char *end;

	if (snprintf(folder, sizeof(folder), "%s%s", hierarchies[i].root,
		     strncmp(cgroup, "/..", 3) == 0 ? "" : cgroup) >=
	    (int)sizeof(folder))
		return UINT64_MAX;
	for (;;) {
		snprintf(path, sizeof(path), "%s/%s", folder,
			 hierarchies[i].file);
		limit = read_limit(path);
		least = limit < least ? limit : least;
		end = strrchr(folder, '/');
		if (strlen(folder) <= root || !end)
			return least;
		*end = '\0';
	}
}

static bool has_controller(const char *list, const char *name)
{
	size_t size = strlen(name);

	if (size == 0)
		return *list == '\0';
	for (; list; list = strchr(list, ',')) {
		list += *list == ',';
		if (strncmp(list, name, size) == 0 &&
		    (list[size] == ',' || list[size] == '\0'))
			return true;
	}
	return false;
}

/* Of a line such as `4:memory:/a/b' or `0::/a/b'. */
static uint64_t limit_of(char *line)
{
	char *controllers = strchr(line, ':');
	char *path = controllers ? strchr(controllers + 1, ':') : NULL;
	uint64_t limit, least = UINT64_MAX;

	if (!path)
		return UINT64_MAX;
	*path++ = '\0';
	for (size_t i = 0; i < HIERARCHIES; i++) {
		if (!has_controller(controllers + 1,
				    hierarchies[i].controllers))
			continue;
		limit = least_limit(i, path);
		least = limit < least ? limit : least;
	}
	return least;
}

void host_memory_read(struct host_memory *memory)
{
	char text[2 * PATH_MAX], *rest = text, *line;
	struct sysinfo info;
	uint64_t limit;

	memory->host = sysinfo(&info) == 0
			       ? (uint64_t)info.totalram * info.mem_unit
			       : UINT64_MAX;
	memory->cgroup = UINT64_MAX;
	if (!read_text("/proc/self/cgroup", text, sizeof(text)))
		return;
	while ((line = strsep(&rest, "\n"))) {
		limit = limit_of(line);
		if (limit < memory->cgroup)
			memory->cgroup = limit;
	}
	/* version 1 writes a huge number if there is no limit */
	if (memory->cgroup > memory->host)
		memory->cgroup = UINT64_MAX;
}
