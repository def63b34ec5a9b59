/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attaches programs by bpf(2) alone, each by a kernel link: it ends with its
 * last descriptor and pin. What has to open files first, or takes CAP_PERFMON,
 * the loader does; what has no link in older kernels, its keepers.
 *
 * The system call itself, as libbpf 1.1 knows no tcx.
 */
#include "bpf/attach.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bpf/kernel_types.h"

const struct attach_row attach_rows[ATTACH_KINDS] = {
	[ATTACH_TRACEPOINT] = { "tracepoint", true, false },
	[ATTACH_RAW_TRACEPOINT] = { "raw_tracepoint", false, false },
	[ATTACH_BTF] = { "btf", false, false },
	[ATTACH_KPROBE] = { "kprobe", true, false },
	[ATTACH_KRETPROBE] = { "kretprobe", true, false },
	[ATTACH_XDP] = { "xdp", false, false },
	[ATTACH_TC] = { "tc", false, true },
	[ATTACH_CGROUP] = { "cgroup", false, false },
	[ATTACH_NETNS] = { "netns", false, false },
	[ATTACH_SOCKMAP] = { "sockmap", false, true },
	[ATTACH_PERF] = { "perf", true, false },
};

/* A program, as it is known here. */
struct subject {
	int fd;
	uint32_t type;
	uint32_t expected; /* enum bpf_attach_type */
};

/* --- System calls ------------------------------------------------------- */

/* The head of union bpf_attr for BPF_LINK_CREATE as of 6.6. */
struct creation {
	uint32_t program_fd;
	uint32_t target; /* descriptor, or ifindex */
	uint32_t attach_type;
	uint32_t flags;
	uint32_t relative_fd;
	uint32_t padding;
	uint64_t revision;
};

static int create(const struct creation *creation)
{
	struct creation copy = *creation;
	long fd = syscall(SYS_bpf, BPF_LINK_CREATE, &copy, sizeof(copy));

	return fd < 0 ? -errno : (int)fd;
}

/*
 * A kernel that lacks this type of link has EINVAL, as it has for a mistake.
 * One that knows it looks for its target first.
 */
static int create_if_known(const struct creation *creation, uint32_t no_target)
{
	struct creation probe = *creation;
	int fd = create(creation);

	if (fd != -EINVAL)
		return fd;
	probe.flags = 0;
	probe.relative_fd = 0;
	probe.target = no_target;
	return create(&probe) == -EINVAL ? -EOPNOTSUPP : -EINVAL;
}

/* name: NULL for what the program was loaded for. */
static int open_raw_tracepoint(const struct subject *subject, const char *name)
{
	union bpf_attr attr = { 0 };
	long fd;

	attr.raw_tracepoint.name = (uint64_t)(uintptr_t)name;
	attr.raw_tracepoint.prog_fd = (uint32_t)subject->fd;
	fd = syscall(SYS_bpf, BPF_RAW_TRACEPOINT_OPEN, &attr, sizeof(attr));
	return fd < 0 ? -errno : (int)fd;
}

/* --- Tracing ------------------------------------------------------------ */

static int attach_raw_tracepoint(const struct subject *subject,
				 const struct attach_target *target)
{
	if (subject->type != BPF_PROG_TYPE_RAW_TRACEPOINT &&
	    subject->type != BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE)
		return -EINVAL;
	return open_raw_tracepoint(subject, target->name);
}

/* Despite its name this also attaches fentry, fexit, fmod_ret and lsm. */
static int attach_btf(const struct subject *subject,
		      const struct attach_target *target)
{
	(void)target;
	if (subject->type != BPF_PROG_TYPE_TRACING &&
	    subject->type != BPF_PROG_TYPE_LSM)
		return -EINVAL;
	return open_raw_tracepoint(subject, NULL);
}

/* --- Interfaces --------------------------------------------------------- */

static int attach_xdp(const struct subject *subject,
		      const struct attach_target *target)
{
	const struct creation creation = {
		.program_fd = (uint32_t)subject->fd,
		.target = target->ifindex,
		.attach_type = BPF_XDP,
		.flags = target->generic ? XDP_FLAGS_SKB_MODE
					 : XDP_FLAGS_DRV_MODE,
	};

	if (subject->type != BPF_PROG_TYPE_XDP)
		return -EINVAL;
	return create(&creation);
}

static int add_order(struct creation *creation,
		     const struct attach_target *target)
{
	bool before =
		target->order == ATTACH_FIRST || target->order == ATTACH_BEFORE;

	creation->flags = before ? KERNEL_FLAG_BEFORE : KERNEL_FLAG_AFTER;
	if (target->order == ATTACH_FIRST || target->order == ATTACH_LAST)
		return 0;
	if (target->relative_fd < 0)
		return -EINVAL;
	creation->flags |= KERNEL_FLAG_LINK;
	creation->relative_fd = (uint32_t)target->relative_fd;
	return 0;
}

/* Before 6.6 it takes a filter of clsact, which is no link. */
static int attach_tc(const struct subject *subject,
		     const struct attach_target *target)
{
	struct creation creation = {
		.program_fd = (uint32_t)subject->fd,
		.target = target->ifindex,
		.attach_type = target->egress ? KERNEL_ATTACH_TCX_EGRESS
					      : KERNEL_ATTACH_TCX_INGRESS,
	};
	int error = add_order(&creation, target);

	if (error < 0 || subject->type != BPF_PROG_TYPE_SCHED_CLS)
		return -EINVAL;
	return create_if_known(&creation, 0);
}

/* --- Descriptors -------------------------------------------------------- */

/* Types that a descriptor of a kind of target takes. */
struct taken {
	enum attach_kind kind;
	uint32_t type;
	uint32_t attach_type; /* if the program was loaded for none */
};

static const struct taken taken[] = {
	{ ATTACH_CGROUP, BPF_PROG_TYPE_CGROUP_SKB, BPF_CGROUP_INET_INGRESS },
	{ ATTACH_CGROUP, BPF_PROG_TYPE_CGROUP_SOCK,
	  BPF_CGROUP_INET_SOCK_CREATE },
	{ ATTACH_CGROUP, BPF_PROG_TYPE_CGROUP_DEVICE, BPF_CGROUP_DEVICE },
	{ ATTACH_CGROUP, BPF_PROG_TYPE_CGROUP_SOCK_ADDR, 0 },
	{ ATTACH_CGROUP, BPF_PROG_TYPE_CGROUP_SYSCTL, BPF_CGROUP_SYSCTL },
	{ ATTACH_CGROUP, BPF_PROG_TYPE_CGROUP_SOCKOPT, 0 },
	{ ATTACH_CGROUP, BPF_PROG_TYPE_SOCK_OPS, BPF_CGROUP_SOCK_OPS },
	{ ATTACH_CGROUP, BPF_PROG_TYPE_LSM, 0 }, /* lsm_cgroup */
	{ ATTACH_NETNS, BPF_PROG_TYPE_SK_LOOKUP, BPF_SK_LOOKUP },
	{ ATTACH_NETNS, BPF_PROG_TYPE_FLOW_DISSECTOR, BPF_FLOW_DISSECTOR },
	{ ATTACH_SOCKMAP, BPF_PROG_TYPE_SK_SKB, BPF_SK_SKB_STREAM_VERDICT },
	{ ATTACH_SOCKMAP, BPF_PROG_TYPE_SK_MSG, BPF_SK_MSG_VERDICT },
};

static const struct taken *find_taken(enum attach_kind kind, uint32_t type)
{
	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
		if (taken[i].kind == kind && taken[i].type == type)
			return &taken[i];
	return NULL;
}

uint32_t attach_type_of(enum attach_kind kind, uint32_t program_type,
			uint32_t expected_attach_type)
{
	const struct taken *row = find_taken(kind, program_type);

	if (!row)
		return 0;
	return expected_attach_type != 0 ? expected_attach_type
					 : row->attach_type;
}

static int attach_to_fd(const struct subject *subject,
			const struct attach_target *target)
{
	const struct creation creation = {
		.program_fd = (uint32_t)subject->fd,
		.target = (uint32_t)target->fd,
		.attach_type = attach_type_of(target->kind, subject->type,
					      subject->expected),
	};

	if (!find_taken(target->kind, subject->type))
		return -EINVAL;
	/* before 6.10 a sockmap has no links */
	return target->kind == ATTACH_SOCKMAP
		       ? create_if_known(&creation, UINT32_MAX)
		       : create(&creation);
}

static int (*const attachers[ATTACH_KINDS])(
	const struct subject *subject, const struct attach_target *target) = {
	[ATTACH_RAW_TRACEPOINT] = attach_raw_tracepoint,
	[ATTACH_BTF] = attach_btf,
	[ATTACH_XDP] = attach_xdp,
	[ATTACH_TC] = attach_tc,
	[ATTACH_CGROUP] = attach_to_fd,
	[ATTACH_NETNS] = attach_to_fd,
	[ATTACH_SOCKMAP] = attach_to_fd,
};

int attach_by_fd(int program_fd, uint32_t program_type,
		 uint32_t expected_attach_type,
		 const struct attach_target *target, int *fd)
{
	const struct subject subject = { program_fd, program_type,
					 expected_attach_type };
	int made;

	if (target->kind >= ATTACH_KINDS || !attachers[target->kind])
		return -EOPNOTSUPP;
	made = attachers[target->kind](&subject, target);
	if (made < 0)
		return made == -KERNEL_ENOTSUPP ? -EOPNOTSUPP : made;
	*fd = made;
	return 0;
}
