/* SPDX-License-Identifier: Apache-2.0 */
/* Tells which programs are started on this host, by a ring buffer. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct started {
	__u32 pid;
	char name[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 65536);
} processes SEC(".maps");

SEC("raw_tracepoint/sched_process_exec")

int started(void *context)
{
	struct started *event;

	event = bpf_ringbuf_reserve(&processes, sizeof(*event), 0);
	if (!event)
		return 0;
	event->pid = bpf_get_current_pid_tgid() >> 32;
	bpf_get_current_comm(event->name, sizeof(event->name));
	bpf_ringbuf_submit(event, 0);
	return 0;
}

char _license[] SEC("license") = "Apache-2.0";
