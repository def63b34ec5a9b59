/* SPDX-License-Identifier: Apache-2.0 */
/* References to kernel objects of any kind; the last one closes the object. */
#include "bpf/resource.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void resource_init(struct resource *resource, const struct resource_kind *kind,
		   int fd)
{
	resource->kind = kind;
	resource->fd = fd;
	atomic_init(&resource->refs, 1);
}

/* A link is "bpf_link" from its creation, and "bpf-link" once opened anew. */
static bool is_named(const char *inode, const char *name)
{
	while (*name && (*inode == *name || (*inode == '_' && *name == '-'))) {
		inode++;
		name++;
	}
	return *inode == *name;
}

int resource_check_kind(int fd, const struct resource_kind *kind)
{
	static const char prefix[] = "anon_inode:";
	char link[64], target[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, target, sizeof(target) - 1);
	if (n < 0)
		return -EINVAL;
	target[n] = '\0';
	return strncmp(target, prefix, sizeof(prefix) - 1) == 0 &&
			       is_named(target + sizeof(prefix) - 1,
					kind->inode)
		       ? 0
		       : -EINVAL;
}

bool resource_try_ref(struct resource *resource)
{
	unsigned refs = atomic_load(&resource->refs);

	while (refs > 0)
		if (atomic_compare_exchange_weak(&resource->refs, &refs,
						 refs + 1))
			return true;
	return false;
}

void resource_close(struct resource *resource)
{
	close(resource->fd);
	if (resource->closed)
		resource->closed(resource);
	resource->kind->free(resource);
}
