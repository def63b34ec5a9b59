/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * A program for each kind of target, which counts its runs in hits, under its
 * own key.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 32);
	__type(key, __u32);
	__type(value, __u64);
} hits SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} sockets SEC(".maps");

/* Only the system calls of one process count: others are at work as well. */
const volatile __u32 process;

static __always_inline int hit(__u32 key, int returned)
{
	__u64 *count = bpf_map_lookup_elem(&hits, &key);

	if (count)
		__sync_fetch_and_add(count, 1);
	return returned;
}

static __always_inline int hit_by_process(__u32 key)
{
	if (!process || bpf_get_current_pid_tgid() >> 32 == process)
		hit(key, 0);
	return 0;
}

#define PROGRAM(section, name, key, returned)                                  \
	SEC(section) int name(void *context)                                   \
	{                                                                      \
		(void)context;                                                 \
		return hit(key, returned);                                     \
	}

#define TRACER(section, name, key)                                             \
	SEC(section) int name(void *context)                                   \
	{                                                                      \
		(void)context;                                                 \
		return hit_by_process(key);                                    \
	}

TRACER("?tp/syscalls/sys_enter_getppid", tracepoint, 0)
TRACER("?raw_tp/sys_enter", raw_tracepoint, 1)
TRACER("?tp_btf/sys_enter", btf, 2)
TRACER("?kprobe/do_nanosleep", kprobe, 3)
TRACER("?kretprobe/do_nanosleep", kretprobe, 4)
TRACER("?fentry/do_nanosleep", fentry, 5)
TRACER("?fexit/do_nanosleep", fexit, 6)
TRACER("?lsm/file_open", lsm, 7)
PROGRAM("?perf_event", perf, 8, 0)
PROGRAM("?xdp", xdp, 9, XDP_PASS)
PROGRAM("?tc", tc, 10, 0 /* TC_ACT_OK */)
PROGRAM("?cgroup_skb/egress", cgroup_skb, 11, 1)
PROGRAM("?cgroup/connect4", cgroup_connect, 12, 1)
PROGRAM("?cgroup/sock_create", cgroup_sock, 13, 1)
PROGRAM("?cgroup/dev", cgroup_device, 14, 1)
PROGRAM("?cgroup/sysctl", cgroup_sysctl, 15, 1)
PROGRAM("?cgroup/setsockopt", cgroup_sockopt, 16, 1)
PROGRAM("?sockops", sock_ops, 17, 1)
PROGRAM("?sk_lookup", sk_lookup, 18, SK_PASS)
PROGRAM("?sk_skb/stream_verdict", sk_skb, 19, SK_PASS)
PROGRAM("?sk_msg", sk_msg, 20, SK_PASS)
PROGRAM("?flow_dissector", flow_dissector, 21, BPF_OK)
PROGRAM("?fmod_ret/bpf_modify_return_test", fmod_ret, 22, 0)

char _license[] SEC("license") = "GPL";
