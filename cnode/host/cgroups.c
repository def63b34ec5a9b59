/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists cgroups, a folder at a time. The id of a cgroup is the number of its
 * inode, on machines of 64 bits since Linux 5.5, so no other call asks for it.
 */
#include "host/cgroups.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "host/bpf_fs.h"

#define ROOM 8192 /* bytes of names, in one system call */

/* The second one is that of hosts with both versions. */
static const char *const roots[] = { "/sys/fs/cgroup",
				     "/sys/fs/cgroup/unified" };

static bool is_of_cgroups(int fd)
{
	struct statfs status;

	return fstatfs(fd, &status) == 0 &&
	       status.f_type == CGROUP2_SUPER_MAGIC;
}

int cgroups_open(void)
{
	for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++) {
		int fd = open(roots[i], O_PATH | O_DIRECTORY | O_CLOEXEC);

		if (fd >= 0 && is_of_cgroups(fd))
			return fd;
		if (fd >= 0)
			close(fd);
	}
	return -1;
}

int cgroups_root_id(int root, uint64_t *id)
{
	struct stat status;

	if (fstat(root, &status) < 0)
		return -errno;
	*id = status.st_ino;
	return 0;
}

/* Another file system may be mounted on a cgroup: it has none. */
static int open_below(int root, const char *path)
{
	struct open_how how = {
		.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
		.resolve =
			RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV,
	};
	long fd = syscall(SYS_openat2, root, path, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

static bool is_cgroup(const struct dirent64 *entry)
{
	return entry->d_type == DT_DIR && strcmp(entry->d_name, ".") != 0 &&
	       strcmp(entry->d_name, "..") != 0;
}

static int visit_some(const char *entries, ssize_t size, cgroups_visitor visit,
		      void *context)
{
	int result = 0;

	for (ssize_t at = 0; result == 0 && at < size;) {
		const struct dirent64 *entry = (const void *)(entries + at);

		at += entry->d_reclen;
		if (is_cgroup(entry))
			result = visit(context, entry->d_name, entry->d_ino);
	}
	return result;
}

int cgroups_list(int root, const char *path, cgroups_visitor visit,
		 void *context)
{
	char entries[ROOM] __attribute__((aligned(8)));
	int folder = open_below(root, path), result = 0;
	ssize_t n = 1;

	if (folder < 0)
		return bpf_fs_shortage(folder);
	while (result == 0 && n > 0) {
		n = getdents64(folder, entries, sizeof(entries));
		if (n < 0) /* it was removed */
			result = bpf_fs_shortage(-errno);
		else
			result = visit_some(entries, n, visit, context);
	}
	close(folder);
	return result;
}
