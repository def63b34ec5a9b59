/* SPDX-License-Identifier: Apache-2.0 */
/* The folders that the paths of callers are confined to. */
#include "root.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

enum exit_status root_open(struct root *root, const char *option,
			   const char *path)
{
	root->path = path;
	root->fd = -1;
	if (!path)
		return STATUS_OK;
	root->fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root->fd >= 0)
		return STATUS_OK;
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
