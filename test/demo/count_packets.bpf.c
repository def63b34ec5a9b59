/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counts the UDP packets that leave a cgroup, and their bytes, by the port they
 * are sent to.
 */
#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u64);
} packets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u64);
} bytes SEC(".maps");

static __always_inline void add(void *map, __u32 port, __u64 number)
{
	__u64 zero = 0, *sum = bpf_map_lookup_elem(map, &port);

	if (!sum) {
		bpf_map_update_elem(map, &port, &zero, BPF_NOEXIST);
		sum = bpf_map_lookup_elem(map, &port);
	}
	if (sum)
		__sync_fetch_and_add(sum, number);
}

SEC("cgroup_skb/egress")

int count_packets(struct __sk_buff *packet)
{
	struct iphdr ip;
	struct udphdr udp;
	__u32 port;

	if (bpf_skb_load_bytes(packet, 0, &ip, sizeof(ip)) == 0 &&
	    ip.version == 4 && ip.protocol == IPPROTO_UDP &&
	    bpf_skb_load_bytes(packet, ip.ihl * 4, &udp, sizeof(udp)) == 0) {
		port = bpf_ntohs(udp.dest);
		add(&packets, port, 1);
		add(&bytes, port, packet->len);
	}
	return 1; /* let it pass */
}

char _license[] SEC("license") = "Apache-2.0";
