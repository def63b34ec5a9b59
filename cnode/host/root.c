/* SPDX-License-Identifier: Apache-2.0 */
/* The folders that the paths of callers are confined to. */
#include "host/root.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "host/names.h"

/* A container may refuse it, and then no path would be found later. */
static enum exit_status check_openat2(const struct root *root,
				      const char *option)
{
	int fd = names_open_at(root->fd, ".", O_DIRECTORY, RESOLVE_BENEATH);

	if (fd >= 0)
		close(fd);
	if (fd != -EPERM && fd != -ENOSYS)
		return STATUS_OK;
	log_error("--%s %s: it takes openat2(2) to keep paths below it, which "
		  "is refused here: %s; the filter of system calls of a "
		  "container or service has to allow it",
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
	log_error("--%s %s: %s; it has to be a folder that is there already",
		  option, path, strerror(errno));
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
		  "chown or chmod it, or see --user",
		  option, root->path, strerror(errno));
	return STATUS_USAGE;
}
