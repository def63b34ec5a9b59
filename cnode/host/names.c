/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens processes, files, cgroups and interfaces by name. Paths are resolved by
 * openat2(2) below their root: neither .. nor a symbolic link leads out of it,
 * and no answer reveals what is outside.
 */
#include "host/names.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "host/root.h"

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL /* since Linux 6.9 */
#endif
#define CGROUP_ROOT "/sys/fs/cgroup"
#define MAX_TRIES 8 /* while others rename folders of the path */

int names_open_process(uint32_t pid)
{
	/* CLOEXEC by itself */
	long fd = syscall(SYS_pidfd_open, pid, PIDFD_THREAD);

	if (fd < 0 && errno == EINVAL) /* an older kernel: leaders only */
		fd = syscall(SYS_pidfd_open, pid, 0);
	return fd < 0 ? -errno : (int)fd;
}

const char *names_below(const char *root, const char *path)
{
	size_t size = strlen(root);

	while (size > 0 && root[size - 1] == '/')
		size--;
	if (strncmp(path, root, size) != 0 || path[size] != '/')
		return NULL;
	path += size;
	return path + strspn(path, "/");
}

int names_path_of(int folder, char path[PATH_MAX])
{
	char link[32];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", folder);
	n = readlink(link, path, PATH_MAX - 1);
	if (n < 0)
		return -errno;
	path[n] = '\0';
	return 0;
}

int names_open_at(int folder, const char *path, uint64_t flags,
		  uint64_t resolve)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC | flags,
				.resolve = resolve };
	long fd = -1;

	/* EAGAIN: a folder was renamed while .. was resolved */
	errno = EAGAIN;
	for (int i = 0; fd < 0 && errno == EAGAIN && i < MAX_TRIES; i++)
		fd = syscall(SYS_openat2, folder, path, &how, sizeof(how));
	if (fd < 0)
		return errno == EXDEV || errno == ELOOP ? -EACCES : -errno;
	return (int)fd;
}

static int open_below(const struct root *root, const char *path, uint64_t flags)
{
	const char *rest = root->fd < 0 ? NULL : names_below(root->path, path);

	return rest ? names_open_at(root->fd, *rest ? rest : ".", flags,
				    RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS)
		    : -EACCES;
}

int names_open_file(const struct root *root, const char *path)
{
	return open_below(root, path, 0);
}

int names_open_cgroup(const char *path)
{
	struct root root = {
		CGROUP_ROOT, open(CGROUP_ROOT, O_PATH | O_DIRECTORY | O_CLOEXEC)
	};
	struct statfs status;
	int fd;

	if (root.fd < 0 && (errno == EMFILE || errno == ENFILE))
		return -errno;
	if (strcmp(path, CGROUP_ROOT) == 0)
		path = CGROUP_ROOT "/"; /* the root is a cgroup, too */
	fd = open_below(&root, path, O_DIRECTORY);
	root_close(&root);
	if (fd < 0)
		return fd;
	if (fstatfs(fd, &status) == 0 && status.f_type == CGROUP2_SUPER_MAGIC)
		return fd;
	close(fd);
	return -EACCES;
}

/* Opened again: bpf(2) takes no descriptor that only names a place. */
int names_open_netns(const struct root *root, const char *path)
{
	int place = open_below(root, path, 0), fd;
	struct statfs status;
	char link[32];

	if (place < 0)
		return place;
	if (fstatfs(place, &status) < 0 || status.f_type != NSFS_MAGIC) {
		close(place);
		return -EACCES;
	}
	snprintf(link, sizeof(link), "/proc/self/fd/%d", place);
	fd = open(link, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fd = -errno;
	close(place);
	return fd;
}

/*
 * As if_nametoindex(3), but without ioctl(2): for a process with CAP_NET_ADMIN,
 * that makes the kernel load a module of a name that it does not know.
 */
int names_interface(const char *name, uint32_t *index)
{
	socklen_t size = (socklen_t)strlen(name), index_size = sizeof(*index);
	int fd, error = 0;

	if (size == 0 || size >= IF_NAMESIZE)
		return -ENODEV;
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, size) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, index, &index_size) <
		    0)
		error = -errno;
	close(fd);
	return error;
}
