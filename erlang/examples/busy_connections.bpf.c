/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counts the bytes of each TCP connection of the processes of a cgroup, for
 * busy_connections.erl: whole packets, headers included, of both directions.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* IPv4 addresses are IPv6 ones, ::ffff:A.B.C.D; ports are numbers. */
struct connection {
	__u8 local[16], remote[16];
	__u16 local_port, remote_port;
};

/* The longest unused go first. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_PERCPU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct connection);
	__type(value, __u64);
} connections SEC(".maps");

static void map_address(__u8 to[16], __be32 address)
{
	to[10] = to[11] = 0xff;
	__builtin_memcpy(to + 12, &address, sizeof(address));
}

/* Where the TCP header is, with the addresses of the sender's side as local. */
static int read_ipv4(struct __sk_buff *skb, struct connection *sent)
{
	struct iphdr ip;

	if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)) < 0)
		return 0;
	if (ip.protocol != IPPROTO_TCP || ip.frag_off & bpf_htons(0x1fff))
		return 0;
	map_address(sent->local, ip.saddr);
	map_address(sent->remote, ip.daddr);
	return ip.ihl * 4;
}

/*
 * The one extension header that Linux itself puts before TCP's is hop-by-hop,
 * in the large packets that a network card, or the loopback, is to cut.
 */
static int read_ipv6(struct __sk_buff *skb, struct connection *sent)
{
	struct ipv6hdr ip;
	struct ipv6_opt_hdr hop;
	int tcp = sizeof(ip);

	if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)) < 0)
		return 0;
	if (ip.nexthdr == IPPROTO_HOPOPTS) {
		if (bpf_skb_load_bytes(skb, tcp, &hop, sizeof(hop)) < 0)
			return 0;
		ip.nexthdr = hop.nexthdr;
		tcp += (hop.hdrlen + 1) * 8;
	}
	if (ip.nexthdr != IPPROTO_TCP)
		return 0;
	__builtin_memcpy(sent->local, &ip.saddr, sizeof(sent->local));
	__builtin_memcpy(sent->remote, &ip.daddr, sizeof(sent->remote));
	return tcp;
}

static int read_packet(struct __sk_buff *skb, struct connection *sent)
{
	__be16 ports[2];
	int tcp = 0;

	if (skb->protocol == bpf_htons(ETH_P_IP))
		tcp = read_ipv4(skb, sent);
	else if (skb->protocol == bpf_htons(ETH_P_IPV6))
		tcp = read_ipv6(skb, sent);
	if (!tcp || bpf_skb_load_bytes(skb, tcp, ports, sizeof(ports)) < 0)
		return 0;
	sent->local_port = bpf_ntohs(ports[0]);
	sent->remote_port = bpf_ntohs(ports[1]);
	return 1;
}

static void add(const struct connection *connection, __u64 bytes)
{
	__u64 *sum = bpf_map_lookup_elem(&connections, connection);

	if (sum)
		*sum += bytes;
	else
		bpf_map_update_elem(&connections, connection, &bytes, BPF_ANY);
}

/* Both let each packet pass. */
SEC("cgroup_skb/egress")

int sent(struct __sk_buff *skb)
{
	struct connection connection = {};

	if (read_packet(skb, &connection))
		add(&connection, skb->len);
	return 1;
}

SEC("cgroup_skb/ingress")

int received(struct __sk_buff *skb)
{
	struct connection theirs = {}, ours;

	if (!read_packet(skb, &theirs))
		return 1;
	__builtin_memcpy(ours.local, theirs.remote, sizeof(ours.local));
	__builtin_memcpy(ours.remote, theirs.local, sizeof(ours.remote));
	ours.local_port = theirs.remote_port;
	ours.remote_port = theirs.local_port;
	add(&ours, skb->len);
	return 1;
}

char _license[] SEC("license") = "Apache-2.0";
