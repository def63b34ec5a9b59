/* SPDX-License-Identifier: Apache-2.0 */
/* Counts the system calls of a host by their numbers, for syscall_counts.erl. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 512);
	__type(key, __u32);
	__type(value, __u64);
} calls SEC(".maps");

SEC("raw_tracepoint/sys_enter")
int count(struct bpf_raw_tracepoint_args *context)
{
	__u32 number = context->args[1];
	__u64 *sum = bpf_map_lookup_elem(&calls, &number);

	if (sum)
		++*sum;
	return 0;
}

char _license[] SEC("license") = "Apache-2.0";
