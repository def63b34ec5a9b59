/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Counts what a process asks for its parent's id: getppid(2) by process, in a
 * hash map, and all of them in a per-CPU array. For test_programs.py, which
 * names the maps: -D PIDS=... -D ALL=..., no others on the host bear these.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u64);
} PIDS SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} ALL SEC(".maps");

SEC("tracepoint/syscalls/sys_enter_getppid")
int count(void *context)
{
	__u32 zero = 0, pid = bpf_get_current_pid_tgid() >> 32;
	__u64 one = 1, *number;

	(void)context;
	number = bpf_map_lookup_elem(&ALL, &zero);
	if (number)
		(*number)++;
	number = bpf_map_lookup_elem(&PIDS, &pid);
	if (number)
		__sync_fetch_and_add(number, 1);
	else
		bpf_map_update_elem(&PIDS, &pid, &one, BPF_NOEXIST);
	return 0;
}

char _license[] SEC("license") = "GPL";
