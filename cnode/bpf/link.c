/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open kernel links: what keeps a program attached. attach.c makes them; where
 * a kernel lacks one, link_kept.c has what stands for it.
 */
#include "bpf/link.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bpf/kernel_types.h"
#include "bpf/program.h"

/* The kernel's own names. */
static const char *const type_names[] = {
	[BPF_LINK_TYPE_UNSPEC] = "unspec",
	[BPF_LINK_TYPE_RAW_TRACEPOINT] = "raw_tracepoint",
	[BPF_LINK_TYPE_TRACING] = "tracing",
	[BPF_LINK_TYPE_CGROUP] = "cgroup",
	[BPF_LINK_TYPE_ITER] = "iter",
	[BPF_LINK_TYPE_NETNS] = "netns",
	[BPF_LINK_TYPE_XDP] = "xdp",
	[BPF_LINK_TYPE_PERF_EVENT] = "perf_event",
	[BPF_LINK_TYPE_KPROBE_MULTI] = "kprobe_multi",
	[BPF_LINK_TYPE_STRUCT_OPS] = "struct_ops",
	[KERNEL_LINK_NETFILTER] = "netfilter",
	[KERNEL_LINK_TCX] = "tcx",
	[KERNEL_LINK_UPROBE_MULTI] = "uprobe_multi",
	[KERNEL_LINK_NETKIT] = "netkit",
	[KERNEL_LINK_SOCKMAP] = "sockmap",
};

const char *link_type_name(uint32_t type)
{
	if (type == LINK_CLSACT)
		return "clsact";
	if (type == LINK_SOCKMAP_ATTACH)
		return "sockmap_attach";
	return type < sizeof(type_names) / sizeof(type_names[0])
		       ? type_names[type]
		       : NULL;
}

const char *link_attach_type_name(uint32_t type)
{
	if (type == KERNEL_ATTACH_TCX_INGRESS)
		return "tcx_ingress";
	if (type == KERNEL_ATTACH_TCX_EGRESS)
		return "tcx_egress";
	return libbpf_bpf_attach_type_str((enum bpf_attach_type)type);
}

/* --- References --------------------------------------------------------- */

static void describe(const struct resource *resource,
		     struct resource_text *text)
{
	const struct link *link = (const struct link *)resource;
	const char *type = link_type_name(link->type);

	if (type)
		snprintf(text->type, sizeof(text->type), "%s", type);
	else
		snprintf(text->type, sizeof(text->type), "%u", link->type);
	text->name[0] = '\0';
}

static void close_all(const int *fds, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		close(fds[i]);
}

static void free_link(struct resource *resource)
{
	struct link *link = (struct link *)resource;

	close_all(link->more, link->more_count);
	free(link->more);
	free(link->target);
	free(link->kept);
	free(link);
}

const struct resource_kind link_kind = {
	.name = "link",
	.class = RESOURCE_PROGRAMS,
	.inode = "bpf-link",
	.describe = describe,
	.free = free_link,
};

/* --- Description -------------------------------------------------------- */

/*
 * The kernel's struct bpf_link_info as of 6.10, as far as it is read here.
 * Older kernels fill in less. A text is copied to where a pointer tells, and
 * where that is depends on the type.
 */
struct text_request {
	uint64_t address;
	uint32_t size;
};

struct kernel_info {
	uint32_t type;
	uint32_t id;
	uint32_t program_id;
	uint32_t padding;

	union {
		struct text_request raw_tracepoint;
		uint32_t words[2]; /* a target, or none, and a type to attach */

		struct {
			uint64_t id;
			uint32_t attach_type;
		} cgroup;

		struct {
			uint32_t type;
			struct text_request text __attribute__((aligned(8)));
		} perf;

		char room[48]; /* for all of it */
	};
};

static int read_info(int fd, struct kernel_info *info)
{
	uint32_t size = sizeof(*info);

	return bpf_obj_get_info_by_fd(fd, (void *)info, &size);
}

/* Where to ask for a text; NULL: the link has none. */
static struct text_request *text_of(struct kernel_info *info)
{
	if (info->type == BPF_LINK_TYPE_RAW_TRACEPOINT)
		return &info->raw_tracepoint;
	if (info->type == BPF_LINK_TYPE_PERF_EVENT &&
	    info->perf.type >= KERNEL_PERF_UPROBE &&
	    info->perf.type <= KERNEL_PERF_TRACEPOINT)
		return &info->perf.text;
	return NULL;
}

/* Without its place is better than not at all. */
static void read_place(const struct link *link, struct kernel_info known,
		       char place[LINK_PLACE_SIZE])
{
	struct text_request *text = text_of(&known);
	struct kernel_info info = { 0 };
	int error;

	if (!text)
		return;
	info.type = known.type;
	info.perf.type =
		known.type == BPF_LINK_TYPE_PERF_EVENT ? known.perf.type : 0;
	text = text_of(&info);
	text->address = (uint64_t)(uintptr_t)place;
	text->size = LINK_PLACE_SIZE;
	error = read_info(link->resource.fd, &info);
	place[LINK_PLACE_SIZE - 1] = '\0'; /* it cuts off a long one */
	if (error < 0 && error != -ENOSPC)
		place[0] = '\0';
}

static void read_target(const struct kernel_info *kernel,
			struct link_info *info)
{
	info->has_attach_type = true;
	switch (kernel->type) {
	case BPF_LINK_TYPE_TRACING:
		info->attach_type = kernel->words[0];
		break;
	case BPF_LINK_TYPE_CGROUP:
		info->cgroup_id = kernel->cgroup.id;
		info->attach_type = kernel->cgroup.attach_type;
		break;
	case BPF_LINK_TYPE_NETNS:
		info->netns_inode = kernel->words[0];
		info->attach_type = kernel->words[1];
		break;
	case BPF_LINK_TYPE_XDP:
		info->ifindex = kernel->words[0];
		info->has_attach_type = false;
		break;
	case KERNEL_LINK_TCX:
	case KERNEL_LINK_NETKIT:
		info->ifindex = kernel->words[0];
		info->attach_type = kernel->words[1];
		break;
	case KERNEL_LINK_SOCKMAP:
		info->map_id = kernel->words[0];
		info->attach_type = kernel->words[1];
		break;
	default:
		info->has_attach_type = false;
		break;
	}
}

int link_get_info(const struct link *link, struct link_info *info)
{
	struct kernel_info kernel = { 0 };
	int error;

	if (link->kept) {
		*info = *link->kept;
		return 0;
	}
	error = read_info(link->resource.fd, &kernel);
	if (error < 0)
		return error;
	*info = (struct link_info){
		.id = kernel.id,
		.type = kernel.type,
		.program_id = kernel.program_id,
	};
	read_target(&kernel, info);
	read_place(link, kernel, info->place);
	return 0;
}

/* --- Opening ------------------------------------------------------------ */

static int check_all(const int *fds, unsigned count, struct kernel_info *first)
{
	int error = count > 0 ? 0 : -EINVAL;

	for (unsigned i = 0; i < count && error == 0; i++)
		error = resource_check_kind(fds[i], &link_kind);
	return error < 0 ? error : read_info(fds[0], first);
}

/* NULL: out of memory; it has taken over nothing. */
static struct link *new_link(const int *fds, unsigned count)
{
	struct link *link = calloc(1, sizeof(*link));

	if (!link)
		return NULL;
	link->more_count = count - 1;
	if (link->more_count > 0) {
		link->more = calloc(link->more_count, sizeof(*fds));
		if (!link->more) {
			free(link);
			return NULL;
		}
		memcpy(link->more, fds + 1, link->more_count * sizeof(*fds));
	}
	resource_init(&link->resource, &link_kind, fds[0]);
	return link;
}

int link_adopt(const int *fds, unsigned count, struct link **result)
{
	struct kernel_info info = { 0 };
	int error = check_all(fds, count, &info);
	struct link *link = error == 0 ? new_link(fds, count) : NULL;

	if (!link) {
		close_all(fds, count);
		return error < 0 ? error : -ENOMEM;
	}
	link->resource.id = info.id;
	link->type = info.type;
	atomic_init(&link->program_id, info.program_id);
	*result = link;
	return 0;
}

int link_open_id(uint32_t id, struct link **link)
{
	int fd = bpf_link_get_fd_by_id(id);

	/* one that is still being made has an id, and is not there yet */
	if (fd == -EAGAIN)
		return -ENOENT;
	return fd < 0 ? fd : link_adopt(&fd, 1, link);
}

int link_open_pinned(const char *path, struct link **link)
{
	int fd = bpf_obj_get(path);

	return fd < 0 ? fd : link_adopt(&fd, 1, link);
}

int link_next_id(uint32_t *id)
{
	return bpf_link_get_next_id(*id, id);
}

int link_set_target(struct link *link, const void *target, size_t size)
{
	void *copy = malloc(size > 0 ? size : 1);

	if (!copy)
		return -ENOMEM;
	memcpy(copy, target, size);
	free(link->target);
	link->target = copy;
	link->target_size = size;
	return 0;
}

/* --- Changing ----------------------------------------------------------- */

/* The kernel has EINVAL for the others, as for a program of another type. */
static bool can_update(uint32_t type)
{
	switch (type) {
	case BPF_LINK_TYPE_CGROUP:
	case BPF_LINK_TYPE_ITER:
	case BPF_LINK_TYPE_NETNS:
	case BPF_LINK_TYPE_XDP:
	case KERNEL_LINK_TCX:
	case KERNEL_LINK_NETKIT:
	case KERNEL_LINK_SOCKMAP:
		return true;
	default:
		return false;
	}
}

int link_update(struct link *link, const struct program *program)
{
	int error;

	if (!can_update(link->type) || link->more_count > 0)
		return -EOPNOTSUPP;
	error = bpf_link_update(link->resource.fd, program->resource.fd, NULL);
	if (error == 0)
		atomic_store(&link->program_id, program->resource.id);
	return error;
}

int link_detach(const struct link *link)
{
	return link->more_count > 0 ? -EOPNOTSUPP
				    : bpf_link_detach(link->resource.fd);
}
