/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LINK_H
#define LINK_H

#include <stddef.h>

#include "bpf/resource.h"

struct program;

#define LINK_PLACE_SIZE 64

struct link_info;

/*
 * What attaches a program: an open kernel link, which ends with its last
 * holder. Or the descriptor of a process that does the same for an attachment
 * that is no kernel link: that ends with the descriptor, and has neither pins
 * nor updates.
 */
struct link {
	struct resource resource;    /* first: see link_of() */
	uint32_t type;               /* see struct link_info */
	_Atomic uint32_t program_id; /* changes with link_update() */
	int *more; /* further links, as one for each processor */
	unsigned more_count;
	void *target; /* its target as a term, which this does not read */
	size_t target_size;
	struct link_info *kept; /* of no kernel link: all that is known */
};

/* The kernel's description of a link. */
struct link_info {
	uint32_t id;
	uint32_t type; /* enum bpf_link_type or link_type */
	uint32_t program_id;
	bool has_attach_type;        /* the kernel tells it */
	uint32_t attach_type;        /* enum bpf_attach_type */
	uint32_t ifindex;            /* xdp, tcx, netkit, clsact; else 0 */
	uint32_t map_id;             /* sockmap, sockmap_attach; else 0 */
	uint64_t cgroup_id;          /* cgroup; else 0 */
	uint32_t netns_inode;        /* netns; else 0 */
	char place[LINK_PLACE_SIZE]; /* of a (raw) tracepoint, or a function */
};

extern const struct resource_kind link_kind;

/* Types of what is no kernel link. */
enum link_type {
	LINK_CLSACT = 1 << 16,
	LINK_SOCKMAP_ATTACH,
};

/* The kernel's name of a type, such as "xdp", or ours; NULL: it has none. */
const char *link_type_name(uint32_t type);

/* libbpf's name, such as "cgroup_inet_ingress"; NULL past the last one. */
const char *link_attach_type_name(uint32_t type);

/* Takes over the descriptors, even on failure. -EINVAL if one is no link's. */
int link_adopt(const int *fds, unsigned count, struct link **link);
/*
 * The same of a keeper's socket; what is known is what it was asked for. Its id
 * is above those of kernel links, and not theirs.
 */
int link_adopt_kept(int fd, const struct link_info *known, struct link **link);
int link_open_id(uint32_t id, struct link **link);
int link_open_pinned(const char *path, struct link **link);
int link_next_id(uint32_t *id);
int link_get_info(const struct link *link, struct link_info *info);

/* Copies size bytes. -ENOMEM. Call before others see the link. */
int link_set_target(struct link *link, const void *target, size_t size);

/* Another program, at once. -EINVAL: of another type; -EOPNOTSUPP. */
int link_update(struct link *link, const struct program *program);

/* -EOPNOTSUPP where it ends only with its last descriptor and pin; not for one
 * that is kept. */
int link_detach(const struct link *link);

/* Whether a pin would keep all of it: there is one kernel link, and no more. */
static inline bool link_takes_pin(const struct link *link)
{
	return !link->kept && link->more_count == 0;
}

/* The resource as a link; NULL for another kind, and for NULL. */
static inline struct link *link_of(struct resource *resource)
{
	return resource && resource->kind == &link_kind
		       ? (struct link *)resource
		       : NULL;
}

#endif
