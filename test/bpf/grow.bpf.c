/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Makes a packet longer. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

SEC("tc")
int grow(struct __sk_buff *context)
{
	return bpf_skb_change_tail(context, context->len + 128, 0);
}

char _license[] SEC("license") = "GPL";
