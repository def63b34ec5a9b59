/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands for a link where the kernel lacks one: the socket of a process
 * that keeps the attachment. All that is known of it is what was asked for.
 */
#include "bpf/link.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEPT_ID 0x80000000u /* the kernel's own ids are below */

/* The number of its inode, as no other open socket has it. */
static int check_socket(int fd, uint32_t *id)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return -errno;
	*id = KEPT_ID | (uint32_t)status.st_ino;
	return S_ISSOCK(status.st_mode) ? 0 : -EINVAL;
}

static struct link *new_kept(int fd, const struct link_info *known)
{
	struct link *link = calloc(1, sizeof(*link));

	if (!link)
		return NULL;
	link->kept = malloc(sizeof(*link->kept));
	if (!link->kept) {
		free(link);
		return NULL;
	}
	*link->kept = *known;
	resource_init(&link->resource, &link_kind, fd);
	return link;
}

int link_adopt_kept(int fd, const struct link_info *known, struct link **result)
{
	uint32_t id = 0;
	int error = check_socket(fd, &id);
	struct link *link = error == 0 ? new_kept(fd, known) : NULL;

	if (!link) {
		close(fd);
		return error < 0 ? error : -ENOMEM;
	}
	link->kept->id = id;
	link->resource.id = id;
	link->type = known->type;
	atomic_init(&link->program_id, known->program_id);
	*result = link;
	return 0;
}
