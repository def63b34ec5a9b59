/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths of pins, confined to a folder. bpf(2) follows the symbolic links of a
 * path, so it never gets the path of a caller, but one through /proc/self/fd of
 * a descriptor that openat2(2) has opened below the root. Nothing that is
 * renamed or replaced by a link later can redirect it. BPF_F_PATH_FD would do
 * the same, but only since Linux 6.5 and a later libbpf.
 */
#include "host/pin_path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "host/bpf_fs.h"
#include "host/names.h"

#define RESOLVE (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)

static int end_visits(void *context, const char *path)
{
	(void)context;
	(void)path;
	return 1;
}

/* Whether a bpf file system is mounted below the folder; / always passes. */
static bool is_above_bpf_fs(int folder)
{
	char path[PATH_MAX];

	return (names_path_of(folder, path) == 0 && strcmp(path, "/") == 0) ||
	       bpf_fs_each_mount_below(folder, end_visits, NULL) == 1;
}

enum exit_status pin_path_open_root(struct root *root, const char *path)
{
	enum exit_status status = root_open(root, "pin-root", path);

	if (status != STATUS_OK || root->fd < 0)
		return status;
	if (bpf_fs_has(root->fd) || is_above_bpf_fs(root->fd))
		return STATUS_OK;
	log_error("--pin-root %s: neither in a bpf file system nor above one; "
		  "give a folder such as /sys/fs/bpf, or mount one there",
		  path);
	return STATUS_USAGE;
}

bool pin_path_real(const struct pin_path *path, char real[PATH_MAX])
{
	const char *name = strrchr(path->text, '/');
	char link[32];
	size_t length;
	ssize_t size;

	if (path->fd < 0 || !name)
		return false;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", path->fd);
	size = readlink(link, real, PATH_MAX);
	length = strlen(name) + 1; /* with the slash and the NUL */
	if (size < 0 || (size_t)size + length > PATH_MAX)
		return false;
	memcpy(real + size, name, length);
	return true;
}

void pin_path_close(struct pin_path *path)
{
	if (path->fd >= 0)
		close(path->fd);
	path->fd = -1;
}

static int copy(struct pin_path *path, const char *text)
{
	size_t size = strlen(text) + 1;

	if (size > sizeof(path->text))
		return -ENAMETOOLONG;
	memcpy(path->text, text, size);
	return 0;
}

/* What this process keeps for itself is not for callers, whatever the root. */
static int refuse_hidden(struct pin_path *path)
{
	path->is_hidden = bpf_fs_hides(path->fd);
	if (!path->is_hidden)
		return 0;
	pin_path_close(path);
	return -EACCES;
}

int pin_path_open(struct pin_path *path, const struct root *root,
		  const char *text)
{
	const char *rest;

	path->fd = -1;
	path->is_hidden = false;
	if (root->path) {
		rest = names_below(root->path, text);
		if (!rest || !*rest)
			return -EACCES;
		path->fd = names_open_at(root->fd, rest, 0, RESOLVE);
	} else {
		path->fd = open(text, O_PATH | O_CLOEXEC);
		path->fd = path->fd < 0 ? -errno : path->fd;
	}
	if (path->fd < 0)
		return path->fd;
	snprintf(path->text, sizeof(path->text), "/proc/self/fd/%d", path->fd);
	return refuse_hidden(path);
}

/*
 * Opens the folder of rest, whose last part is name; uses path->text as a
 * buffer. Without a root, rest is the whole path.
 */
static int open_folder(struct pin_path *path, const struct root *root,
		       const char *rest, const char *name)
{
	size_t size = (size_t)(name - rest);
	int fd;

	if (size >= sizeof(path->text))
		return -ENAMETOOLONG;
	memcpy(path->text, rest, size);
	path->text[size] = '\0';
	if (root->path) {
		fd = names_open_at(root->fd, size > 0 ? path->text : ".",
				   O_DIRECTORY, RESOLVE);
	} else {
		fd = open(path->text, O_PATH | O_DIRECTORY | O_CLOEXEC);
		fd = fd < 0 ? -errno : fd;
	}
	path->fd = fd < 0 ? -1 : fd;
	return fd < 0 ? fd : 0;
}

static bool is_name(const char *name)
{
	return *name && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

int pin_path_open_folder(struct pin_path *path, const struct root *root,
			 const char *text)
{
	const char *rest = root->path ? names_below(root->path, text) : text;
	const char *name;
	int error;

	path->fd = -1;
	path->is_hidden = false;
	if (!rest)
		return -EACCES;
	name = strrchr(rest, '/');
	name = name ? name + 1 : rest;
	if (!is_name(name)) /* the kernel refuses it */
		return root->path ? -EACCES : copy(path, text);
	if (strlen(name) > NAME_MAX)
		return -ENAMETOOLONG;
	error = open_folder(path, root, rest, name);
	if (error == 0)
		error = refuse_hidden(path);
	if (error == 0)
		snprintf(path->text, sizeof(path->text), "/proc/self/fd/%d/%s",
			 path->fd, name);
	return error;
}
