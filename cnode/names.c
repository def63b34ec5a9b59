/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes, files, cgroups and interfaces by what they are called. A path is
 * looked up by openat2(2) from its root on, so that neither .. nor a symbolic
 * link leads out, nor an answer tells what is there.
 */
#include "names.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <net/if.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#define CGROUP_ROOT "/sys/fs/cgroup"

int names_open_process(uint32_t pid)
{
	long fd = syscall(SYS_pidfd_open, pid, 0); /* CLOEXEC by itself */

	return fd < 0 ? -errno : (int)fd;
}

/* The part of path below root, without slashes before it; NULL: not below. */
static const char *below(const char *root, const char *path)
{
	size_t size = strlen(root);

	while (size > 0 && root[size - 1] == '/')
		size--;
	if (strncmp(path, root, size) != 0 || path[size] != '/')
		return NULL;
	path += size;
	return path + strspn(path, "/");
}

static int open_below(const char *root, const char *path, uint64_t flags)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC | flags,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	const char *rest = below(root, path);
	int folder, fd;

	if (!rest)
		return -EACCES;
	folder = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0)
		return -EACCES;
	fd = (int)syscall(SYS_openat2, folder, *rest ? rest : ".", &how,
			  sizeof(how));
	if (fd < 0)
		fd = errno == EXDEV || errno == ELOOP ? -EACCES : -errno;
	close(folder);
	return fd;
}

int names_open_file(const char *root, const char *path)
{
	return root ? open_below(root, path, 0) : -EACCES;
}

int names_open_cgroup(const char *path)
{
	int fd = open_below(CGROUP_ROOT, path, O_DIRECTORY);
	struct statfs status;

	if (fd < 0)
		return fd;
	if (fstatfs(fd, &status) == 0 && status.f_type == CGROUP2_SUPER_MAGIC)
		return fd;
	close(fd);
	return -EACCES;
}

int names_interface(const char *name, uint32_t *index)
{
	*index = if_nametoindex(name);
	return *index > 0 ? 0 : -ENODEV;
}
