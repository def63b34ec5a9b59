/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Writes values whole, under the lock that is in them: all words of one are the
 * same number, which goes up with each run. Before, it looks whether others have
 * kept to that. For test_locks.py, which names the maps: -D HASH=... and so on.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#define WORDS 256

struct value {
	struct bpf_spin_lock lock;
	__u32 unused;
	__u64 words[WORDS];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct value);
} HASH SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct value);
} ARRAY SEC(".maps");

/* How many values were torn when it came to them. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} TORN SEC(".maps");

static const struct value zeros;

static __always_inline int renew(struct value *value)
{
	__u64 number, differ = 0;

	bpf_spin_lock(&value->lock);
	number = value->words[0];
	for (int i = 0; i < WORDS; i++)
		differ |= value->words[i] ^ number;
	for (int i = 0; i < WORDS; i++)
		*(volatile __u64 *)&value->words[i] = number + 1;
	bpf_spin_unlock(&value->lock);
	return differ != 0;
}

SEC("tc")
int write(struct __sk_buff *context)
{
	__u32 zero = 0, torn = 0;
	struct value *value;
	__u64 *count;

	(void)context;
	value = bpf_map_lookup_elem(&HASH, &zero);
	if (value)
		torn += renew(value);
	else
		bpf_map_update_elem(&HASH, &zero, &zeros, BPF_NOEXIST);
	value = bpf_map_lookup_elem(&ARRAY, &zero);
	if (value)
		torn += renew(value);
	count = bpf_map_lookup_elem(&TORN, &zero);
	if (count)
		*count += torn;
	return 0;
}

char _license[] SEC("license") = "GPL";
