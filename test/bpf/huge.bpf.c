/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* A small object of a large map, for test_jobs.py. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

volatile char big[1 << 30];

SEC("socket")
int touch(struct __sk_buff *context)
{
	return big[context->len & 1023];
}

char _license[] SEC("license") = "GPL";
