/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drops packets of addresses that are listed, until their time is over, for
 * block_list.erl.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* IPv4 addresses are IPv6 ones, ::ffff:A.B.C.D. */
struct address {
	__u8 bytes[16];
};

/* Until when: nanoseconds since this host was started, as a __be64. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct address);
	__type(value, __be64);
} blocked SEC(".maps");

/* Packets; the addresses that have been quiet for longest go first. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_PERCPU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct address);
	__type(value, __u64);
} drops SEC(".maps");

static int read_source(const struct xdp_md *context, struct address *source)
{
	void *data = (void *)(long)context->data;
	void *end = (void *)(long)context->data_end;
	struct ethhdr *ethernet = data;
	struct iphdr *ip = (void *)(ethernet + 1);
	struct ipv6hdr *ip6 = (void *)(ethernet + 1);

	if ((void *)(ethernet + 1) > end)
		return 0;
	if (ethernet->h_proto == bpf_htons(ETH_P_IP) &&
	    (void *)(ip + 1) <= end) {
		source->bytes[10] = source->bytes[11] = 0xff;
		__builtin_memcpy(source->bytes + 12, &ip->saddr, 4);
		return 1;
	}
	if (ethernet->h_proto == bpf_htons(ETH_P_IPV6) &&
	    (void *)(ip6 + 1) <= end) {
		__builtin_memcpy(source->bytes, &ip6->saddr, 16);
		return 1;
	}
	return 0;
}

static void count(const struct address *source)
{
	__u64 *found = bpf_map_lookup_elem(&drops, source), one = 1;

	if (found)
		(*found)++;
	else
		bpf_map_update_elem(&drops, source, &one, BPF_NOEXIST);
}

SEC("xdp")
int drop(struct xdp_md *context)
{
	struct address source = { { 0 } };
	__be64 *until;

	if (!read_source(context, &source))
		return XDP_PASS;
	until = bpf_map_lookup_elem(&blocked, &source);
	if (!until)
		return XDP_PASS;
	if (bpf_ktime_get_boot_ns() >= bpf_be64_to_cpu(*until)) {
		bpf_map_delete_elem(&blocked, &source);
		return XDP_PASS;
	}
	count(&source);
	return XDP_DROP;
}

char _license[] SEC("license") = "Apache-2.0";
