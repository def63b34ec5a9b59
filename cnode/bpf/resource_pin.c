/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pins in a bpf file system, of objects of any kind: making one, and removing
 * that of this object only.
 */
#include "bpf/resource_pin.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <libgen.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

int resource_pin(const struct resource *resource, const char *path)
{
	return bpf_obj_pin(resource->fd, path);
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

/* The head of the kernel's description of any object. */
struct head {
	uint32_t type;
	uint32_t id;
};

int resource_pinned_id(const struct resource_kind *kind, const char *path,
		       uint32_t only, uint32_t *id)
{
	LIBBPF_OPTS(bpf_obj_get_opts, options, .file_flags = kind->look_flags);
	struct head head = { 0 };
	uint32_t size = sizeof(head);
	int fd = bpf_obj_get_opts(path, &options), error;

	if (fd < 0)
		return fd;
	error = bpf_obj_get_info_by_fd(fd, &head, &size);
	if (error == 0 && only && head.id != only)
		error = -EINVAL;
	if (error == 0)
		error = resource_check_kind(fd, kind);
	close(fd);
	*id = head.id;
	return error;
}

int resource_unpin(const struct resource *resource, const char *path)
{
	int error = check_pin(path);
	uint32_t id;

	if (error == 0)
		error = resource_pinned_id(resource->kind, path, resource->id,
					   &id);
	if (error == 0 && unlink(path) < 0)
		error = -errno;
	return error;
}
