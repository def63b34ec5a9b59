/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* All that test_program_values.py puts into maps: callers and callees of tail
 * calls, and what devmaps and cpumaps take. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} callees SEC(".maps");

/* 1: nobody is in the array */
SEC("xdp")
int caller(struct xdp_md *context)
{
	bpf_tail_call(context, &callees, 2);
	return 1;
}

SEC("xdp")
int callee(struct xdp_md *context)
{
	(void)context;
	return 42;
}

SEC("xdp")
int another(struct xdp_md *context)
{
	(void)context;
	return 43;
}

SEC("xdp/devmap")
int at_device(struct xdp_md *context)
{
	(void)context;
	return XDP_DROP;
}

SEC("xdp/cpumap")
int at_cpu(struct xdp_md *context)
{
	(void)context;
	return XDP_DROP;
}

SEC("tc")
int of_tc(struct __sk_buff *context)
{
	(void)context;
	return 0;
}

char _license[] SEC("license") = "GPL";
