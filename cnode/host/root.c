/* SPDX-License-Identifier: Apache-2.0 */
/* The folders that confine the paths of callers. */
#include "host/root.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "host/names.h"

/* Checked at the start: if a container refuses it, no path could be opened. */
static enum exit_status check_openat2(const struct root *root,
				      const char *option)
{
	int fd = names_open_at(root->fd, ".", O_DIRECTORY, RESOLVE_BENEATH);

	if (fd >= 0)
		close(fd);
	if (fd != -EPERM && fd != -ENOSYS)
		return STATUS_OK;
	log_error("--%s %s: confining paths to it needs openat2(2), which is "
		  "refused here: %s; the seccomp filter of the container or "
		  "service has to allow it",
		  option, root->path, strerror(-fd));
	return STATUS_OTHER;
}

enum exit_status root_open(struct root *root, const char *option,
			   const char *path)
{
	root->path = path;
	root->fd = -1;
	if (!path)
		return STATUS_OK;
	root->fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root->fd >= 0)
		return check_openat2(root, option);
	log_error("--%s %s: %s; give a folder that exists", option, path,
		  strerror(errno));
	return STATUS_USAGE;
}

void root_close(struct root *root)
{
	if (root->fd >= 0)
		close(root->fd);
	root->fd = -1;
}

enum exit_status root_check(const struct root *root, const char *option)
{
	int fd;

	if (root->fd < 0)
		return STATUS_OK;
	fd = openat(root->fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		close(fd);
		return STATUS_OK;
	}
	log_error("--%s %s: the user of this process may not enter it: %s; "
		  "change its owner or mode, or --user",
		  option, root->path, strerror(errno));
	return STATUS_USAGE;
}
