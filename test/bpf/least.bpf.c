/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* One program of two instructions, on an event that is rare: for the benchmark. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

SEC("raw_tp/task_rename")
int least(void *context)
{
	(void)context;
	return 0;
}

char _license[] SEC("license") = "GPL";
