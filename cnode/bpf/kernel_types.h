/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KERNEL_TYPES_H
#define KERNEL_TYPES_H

/*
 * Numbers of the kernel's interface that the headers of libbpf 1.1 lack; with
 * the version of the kernel that brought them.
 */

#define KERNEL_ENOTSUPP 524 /* ENOTSUPP, internal to the kernel */

/* enum bpf_prog_type */
enum {
	KERNEL_PROGRAM_NETFILTER = 32, /* 6.4 */
};

/* enum bpf_attach_type */
enum {
	KERNEL_ATTACH_TCX_INGRESS = 46, /* 6.6 */
	KERNEL_ATTACH_TCX_EGRESS = 47,
};

/* enum bpf_link_type */
enum {
	KERNEL_LINK_NETFILTER = 10,    /* 6.4 */
	KERNEL_LINK_TCX = 11,          /* 6.6 */
	KERNEL_LINK_UPROBE_MULTI = 12, /* 6.6 */
	KERNEL_LINK_NETKIT = 13,       /* 6.7 */
	KERNEL_LINK_SOCKMAP = 14,      /* 6.10 */
};

/* Flags of BPF_LINK_CREATE for tcx, 6.6 */
enum {
	KERNEL_FLAG_BEFORE = 1 << 3,
	KERNEL_FLAG_AFTER = 1 << 4,
	KERNEL_FLAG_LINK = 1 << 13, /* the relative is a link, not a program */
};

/* enum bpf_perf_event_type: of a link, in its description, 6.6 */
enum {
	KERNEL_PERF_UPROBE = 1,
	KERNEL_PERF_URETPROBE = 2,
	KERNEL_PERF_KPROBE = 3,
	KERNEL_PERF_KRETPROBE = 4,
	KERNEL_PERF_TRACEPOINT = 5,
};

#endif
