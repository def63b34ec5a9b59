/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Programs whose sections name a file: -D FILE="..." */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#define AT(name, section)                                                      \
	SEC(section)                                                           \
	int name(void *context)                                                \
	{                                                                      \
		(void)context;                                                 \
		return 0;                                                      \
	}

AT(enters, "uprobe/" FILE ":main")
AT(leaves, "uretprobe/" FILE ":main+4")
AT(by_offset, "uprobe/" FILE ":0x1000")
AT(statically, "usdt/" FILE ":provider:name")

char _license[] SEC("license") = "GPL";
