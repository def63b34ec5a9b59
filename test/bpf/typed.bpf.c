/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Maps whose types have of everything: kinds that others' programs seldom have. */

#include <stdbool.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

enum color { RED, GREEN = 2, ALSO_GREEN = 2, BLUE = 7 };
enum level { LOWEST = -2147483647 - 1, LOW = -1, HIGH = 1 };
typedef char letter;
typedef __u8 eight_bits;
typedef const volatile struct point point_t;

struct wire {
	__be16 port;
	__be32 address;
	__be64 cookie;
	const __be32 mask[2];
};

struct bits {
	int a : 3;
	unsigned int b : 5;
	__u64 c : 40;
	enum color color : 3;
	enum level level : 20;
	bool yes : 1;
	__s8 last : 7;
};

struct point {
	__s16 x, y;
};

struct many {
	char text[5];
	letter letters[4];
	signed char signs[3];
	unsigned char bytes[3];
	eight_bits pair[2];
	char one;
	bool flags[3];
	void *pointer;
	const char *const *pointers[2];
	int (*function)(int);
	union {
		__u32 whole;
		struct {
			__u16 low, high;
		};
		char chars[4];
	};
	struct {
		__u8 inner;
		union {
			point_t point;
			__u64 number;
		};
	};
	union {
		__u64 wide;
		__u8 narrow;
	} named;
	point_t points[2][3];
	enum color colors[2];
	enum level level;
	volatile const __s32 constant;
	struct {
	} empty;
	__int128 large;
	unsigned __int128 largest;
	__u8 last;
};

struct real {
	float single;
	double pair[2];
	__u16 after;
};

struct guarded {
	__u32 before;
	struct bpf_spin_lock lock;
	__u64 after;
};

struct timed {
	__u32 before;
	struct bpf_timer timer;
	__u8 after;
};

#define MAP(NAME, TYPE, KEY, VALUE)                                            \
	struct {                                                               \
		__uint(type, TYPE);                                            \
		__uint(max_entries, 16);                                       \
		__type(key, KEY);                                              \
		__type(value, VALUE);                                          \
	} NAME SEC(".maps")

MAP(wires, BPF_MAP_TYPE_HASH, struct wire, struct wire);
MAP(fields, BPF_MAP_TYPE_HASH, struct bits, struct bits);
MAP(all, BPF_MAP_TYPE_HASH, struct many, struct many);
MAP(reals, BPF_MAP_TYPE_HASH, struct real, struct real);
MAP(percpu, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct many);
MAP(guards, BPF_MAP_TYPE_HASH, enum color, struct guarded);
MAP(timers, BPF_MAP_TYPE_ARRAY, int, struct timed);

int counter = 7;
static volatile struct point here = { 1, -2 };
const volatile char greeting[8] = "hello";
__u64 totals[3];

SEC("socket")
int typed(void *context)
{
	counter++;
	totals[1]++;
	return here.x + greeting[1];
}

char LICENSE[] SEC("license") = "GPL";
