/* SPDX-License-Identifier: Apache-2.0 */
/* References to kernel objects of any kind; the last one closes the object. */
#include "bpf/resource.h"

#include <unistd.h>

void resource_init(struct resource *resource, const struct resource_kind *kind,
		   int fd)
{
	resource->kind = kind;
	resource->fd = fd;
	atomic_init(&resource->refs, 1);
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
