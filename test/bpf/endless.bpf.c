/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What the verifier gives up on, with a log of megabytes. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

SEC("socket")
int endless(struct __sk_buff *context)
{
	volatile __u64 sum = 0;

	for (;;) {
		sum += bpf_get_prandom_u32();
		if (sum == context->len)
			return (int)sum;
	}
}

char _license[] SEC("license") = "GPL";
