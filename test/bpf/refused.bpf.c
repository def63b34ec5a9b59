/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Programs that the verifier refuses, each for a reason of its own. The line
 * at fault bears its name as a comment.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} table SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

SEC("?xdp")
int beyond_packet(struct xdp_md *context)
{
	char *data = (char *)(long)context->data;

	return *data; /* beyond_packet */
}

SEC("?xdp")
int perhaps_null(struct xdp_md *context)
{
	__u32 key = context->rx_queue_index;
	__u64 *value = bpf_map_lookup_elem(&table, &key);

	*value += 1; /* perhaps_null */
	return 2;
}

SEC("?xdp")
int kept(struct xdp_md *context)
{
	__u64 *entry = bpf_ringbuf_reserve(&ring, 8, 0);

	if (entry)
		*entry = context->rx_queue_index;
	return 2; /* kept */
}

SEC("?xdp")
int wrong_helper(struct xdp_md *context)
{
	__u64 byte = context->rx_queue_index;

	bpf_probe_read_kernel(&byte, 1, 0); /* wrong_helper */
	return (int)byte;
}

static __attribute__((noinline)) int far(int *place)
{
	return place[100]; /* in_function */
}

SEC("?xdp")
int in_function(struct xdp_md *context)
{
	int number = (int)context->rx_queue_index;

	return far(&number);
}

SEC("?xdp")
int for_ever(struct xdp_md *context)
{
	volatile __u32 number = context->rx_queue_index;

	for (;;)
		number++; /* for_ever */
	return 0;
}

char _license[] SEC("license") = "GPL";
