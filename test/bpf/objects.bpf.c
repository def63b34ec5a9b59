/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * All that test_jobs.py loads: maps of several kinds, variables, programs that
 * load and programs that do not.
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
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} asks_pin SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 8);
	__uint(max_entries, 1);
} resized SEC(".maps");

enum colour { RED, GREEN, BLUE };

const volatile __u32 limit = 7;
const volatile _Bool enabled = 0;
const volatile char text[8] = "before";
volatile __u8 small = 1;
volatile __s16 signed_small = -1;
volatile __u64 large = 3;
volatile enum colour colour = GREEN;
volatile __u64 runs;

SEC("xdp")
int pass(struct xdp_md *context)
{
	__u32 key = 0;
	__u64 *value = bpf_map_lookup_elem(&table, &key);

	(void)context;
	if (value)
		(*value)++;
	if (bpf_map_lookup_elem(&asks_pin, &key) &&
	    bpf_map_lookup_elem(&resized, &key) && enabled)
		small++;
	runs += large + signed_small + text[0] + colour;
	return (int)limit;
}

SEC("tc")
int second(struct __sk_buff *context)
{
	(void)context;
	return 1;
}

SEC("?socket")
int optional(struct __sk_buff *context)
{
	return (int)context->len;
}

SEC("?xdp")
int refused(struct xdp_md *context)
{
	return *(int *)(long)context->data;
}

SEC("?xdp")
int leaks(struct xdp_md *context)
{
	__u32 key = 0;
	__u64 address = (__u64)(long)context;

	bpf_map_update_elem(&table, &key, &address, BPF_ANY);
	return 2;
}

SEC("?mine/eth0")
int untyped(struct xdp_md *context)
{
	(void)context;
	return 3;
}

SEC("?tp/syscalls/sys_enter_getppid")
int at_getppid(void *context)
{
	(void)context;
	__sync_fetch_and_add(&runs, 1);
	return 0;
}

SEC("?perf_event")
int at_clock(void *context)
{
	(void)context;
	__sync_fetch_and_add(&runs, 1);
	return 0;
}

SEC("?kprobe/do_nanosleep")
int at_kprobe(void *context)
{
	(void)context;
	return 0;
}

SEC("?tp_btf/sys_enter")
int at_btf(void *context)
{
	(void)context;
	return 0;
}

SEC("?raw_tp/sys_enter")
int at_raw(void *context)
{
	(void)context;
	return 5;
}

SEC("?fentry/do_nanosleep")
int at_fentry(void *context)
{
	(void)context;
	return 0;
}

SEC("?syscall")
int never(void *context)
{
	(void)context;
	return 0;
}

char _license[] SEC("license") = "GPL";
