/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Numbered records in a ring buffer, or a perf event array, as many and as
 * large as the packet says that the program is run on; and a program that
 * drains a user ring buffer.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#ifndef RING_SIZE
#define RING_SIZE 65536
#endif
#define MAX_SIZE 4096 /* of a record */

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, RING_SIZE);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_USER_RINGBUF);
	__uint(max_entries, 4096);
} user_ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
} perf SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} lost SEC(".maps");

struct event {
	__u64 number;
	__u64 time;
	__u32 odd;
	char text[12];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct event);
} last SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, 4);
	__uint(value_size, MAX_SIZE);
} room SEC(".maps");

volatile __u64 made;
volatile __u64 drained;
volatile __u64 sum;

struct order {
	__u32 count;
	__u32 size;
	__u32 discard; /* each one, as often as it says */
};

static void fill_in(struct event *event)
{
	event->number = made++;
	event->time = bpf_ktime_get_ns();
	event->odd = event->number & 1;
	__builtin_memcpy(event->text, "some text", 10);
}

static void count_lost(void)
{
	__u32 zero = 0;
	__u64 *missed = bpf_map_lookup_elem(&lost, &zero);

	if (missed)
		(*missed)++;
}

static int emit(__u32 index, struct order *order)
{
	__u32 zero = 0, size = order->size;
	struct event *event = bpf_map_lookup_elem(&room, &zero);
	void *thrown;

	if (!event || size > MAX_SIZE)
		return 1;
	if (order->discard && index % order->discard == 0) {
		thrown = bpf_ringbuf_reserve(&ring, 24, 0);
		if (thrown)
			bpf_ringbuf_discard(thrown, 0);
	}
	fill_in(event);
	if (bpf_ringbuf_output(&ring, event, size, 0) != 0)
		count_lost();
	return 0;
}

struct perf_order {
	struct order order;
	struct xdp_md *context;
};

static int emit_perf(__u32 index, struct perf_order *of)
{
	__u32 zero = 0, size = of->order.size;
	struct event *event = bpf_map_lookup_elem(&room, &zero);

	if (!event || size > MAX_SIZE)
		return 1;
	fill_in(event);
	if (bpf_perf_event_output(of->context, &perf, BPF_F_CURRENT_CPU, event,
				  size) != 0)
		count_lost();
	return 0;
}

SEC("xdp")

int events(struct xdp_md *context)
{
	void *data = (void *)(long)context->data;
	void *end = (void *)(long)context->data_end;
	struct order order;

	if (data + sizeof(order) > end)
		return 0;
	__builtin_memcpy(&order, data, sizeof(order));
	/* the kernel looks at all 64 bits of a count that has 32 */
	bpf_loop(order.count & 0xffffff, emit, &order, 0);
	return 1;
}

SEC("xdp")

int perf_events(struct xdp_md *context)
{
	void *data = (void *)(long)context->data;
	void *end = (void *)(long)context->data_end;
	struct perf_order of = { .context = context };

	if (data + sizeof(of.order) > end)
		return 0;
	__builtin_memcpy(&of.order, data, sizeof(of.order));
	bpf_loop(of.order.count & 0xffffff, emit_perf, &of, 0);
	return 1;
}

static long drain(struct bpf_dynptr *record, void *context)
{
	__u8 byte = 0;

	(void)context;
	bpf_dynptr_read(&byte, 1, record, 0, 0);
	drained++;
	sum += byte;
	return 0;
}

SEC("xdp")

int drains(struct xdp_md *context)
{
	(void)context;
	bpf_user_ringbuf_drain(&user_ring, drain, 0, 0);
	return 1;
}

char _license[] SEC("license") = "GPL";
