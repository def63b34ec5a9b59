/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LINK_H
#define LINK_H

#include <stddef.h>

#include "bpf/resource.h"

struct program;

#define LINK_PLACE_SIZE 64

/* An open kernel link: what attaches a program. It ends with its last holder.
 */
struct link {
	struct resource resource;    /* first: see link_of() */
	uint32_t type;               /* enum bpf_link_type */
	_Atomic uint32_t program_id; /* changes with link_update() */
	int *more; /* further links, as one for each processor */
	unsigned more_count;
	void *target; /* its target as a term, which this does not read */
	size_t target_size;
};

/* The kernel's description of a link. */
struct link_info {
	uint32_t id;
	uint32_t type;
	uint32_t program_id;
	uint32_t attach_type;        /* 0 where the kernel tells none */
	uint32_t ifindex;            /* xdp, tcx, netkit; else 0 */
	uint32_t map_id;             /* sockmap; else 0 */
	uint64_t cgroup_id;          /* cgroup; else 0 */
	uint32_t netns_inode;        /* netns; else 0 */
	char place[LINK_PLACE_SIZE]; /* of a (raw) tracepoint, or a function */
};

extern const struct resource_kind link_kind;

/* The kernel's name of a type, such as "xdp"; NULL past the last one. */
const char *link_type_name(uint32_t type);

/* Takes over the descriptors, even on failure. -EINVAL if one is no link's. */
int link_adopt(const int *fds, unsigned count, struct link **link);
int link_open_id(uint32_t id, struct link **link);
int link_open_pinned(const char *path, struct link **link);
int link_next_id(uint32_t *id);
int link_get_info(const struct link *link, struct link_info *info);

/* Copies size bytes. -ENOMEM. Call before others see the link. */
int link_set_target(struct link *link, const void *target, size_t size);

/* Another program, at once. -EINVAL: of another type; -EOPNOTSUPP. */
int link_update(struct link *link, const struct program *program);

/* -EOPNOTSUPP where it ends only with its last descriptor and pin. */
int link_detach(const struct link *link);

/* The resource as a link; NULL for another kind, and for NULL. */
static inline struct link *link_of(struct resource *resource)
{
	return resource && resource->kind == &link_kind
		       ? (struct link *)resource
		       : NULL;
}

#endif
