/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* A map of a size that nobody has: -D TYPE=... KEY=... VALUE=... ENTRIES=... */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct {
	__uint(type, TYPE);
	__uint(key_size, KEY);
	__uint(value_size, VALUE);
	__uint(max_entries, ENTRIES);
} enormous SEC(".maps");

SEC("socket")
int pass(struct __sk_buff *context)
{
	return context->len != (__u64)&enormous;
}

char _license[] SEC("license") = "GPL";
