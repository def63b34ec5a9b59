/* SPDX-License-Identifier: Apache-2.0 */
/* The words of --programs, and the types that each allows. */
#include "bpf/program_words.h"

#include <linux/bpf.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define ALL ((1u << PROGRAMS_WORDS) - 1)

const struct program_word_row program_words[PROGRAMS_WORDS] = {
	[PROGRAMS_SOCKET] = { "socket", PROGRAM_NEEDS_BPF },
	[PROGRAMS_XDP] = { "xdp", PROGRAM_NEEDS_NET_ADMIN },
	[PROGRAMS_TC] = { "tc", PROGRAM_NEEDS_NET_ADMIN },
	[PROGRAMS_CGROUP] = { "cgroup", PROGRAM_NEEDS_NET_ADMIN },
	[PROGRAMS_SOCKMAP] = { "sockmap", PROGRAM_NEEDS_NET_ADMIN },
	[PROGRAMS_NETNS] = { "netns", PROGRAM_NEEDS_NET_ADMIN },
	[PROGRAMS_LWT] = { "lwt", PROGRAM_NEEDS_NET_ADMIN },
	[PROGRAMS_TRACING] = { "tracing", PROGRAM_NEEDS_PERFMON },
};

/* Those that are missing here are allowed by no word. */
static const struct {
	enum bpf_prog_type type;
	enum program_word word;
} types[] = {
	{ BPF_PROG_TYPE_SOCKET_FILTER, PROGRAMS_SOCKET },
	{ BPF_PROG_TYPE_SK_REUSEPORT, PROGRAMS_SOCKET },
	{ BPF_PROG_TYPE_XDP, PROGRAMS_XDP },
	{ BPF_PROG_TYPE_SCHED_CLS, PROGRAMS_TC },
	{ BPF_PROG_TYPE_SCHED_ACT, PROGRAMS_TC },
	{ BPF_PROG_TYPE_CGROUP_SKB, PROGRAMS_CGROUP },
	{ BPF_PROG_TYPE_CGROUP_SOCK, PROGRAMS_CGROUP },
	{ BPF_PROG_TYPE_CGROUP_DEVICE, PROGRAMS_CGROUP },
	{ BPF_PROG_TYPE_CGROUP_SOCK_ADDR, PROGRAMS_CGROUP },
	{ BPF_PROG_TYPE_CGROUP_SYSCTL, PROGRAMS_CGROUP },
	{ BPF_PROG_TYPE_CGROUP_SOCKOPT, PROGRAMS_CGROUP },
	{ BPF_PROG_TYPE_SOCK_OPS, PROGRAMS_CGROUP },
	{ BPF_PROG_TYPE_SK_SKB, PROGRAMS_SOCKMAP },
	{ BPF_PROG_TYPE_SK_MSG, PROGRAMS_SOCKMAP },
	{ BPF_PROG_TYPE_SK_LOOKUP, PROGRAMS_NETNS },
	{ BPF_PROG_TYPE_FLOW_DISSECTOR, PROGRAMS_NETNS },
	{ BPF_PROG_TYPE_LWT_IN, PROGRAMS_LWT },
	{ BPF_PROG_TYPE_LWT_OUT, PROGRAMS_LWT },
	{ BPF_PROG_TYPE_LWT_XMIT, PROGRAMS_LWT },
	{ BPF_PROG_TYPE_LWT_SEG6LOCAL, PROGRAMS_LWT },
	{ BPF_PROG_TYPE_TRACEPOINT, PROGRAMS_TRACING },
	{ BPF_PROG_TYPE_RAW_TRACEPOINT, PROGRAMS_TRACING },
	{ BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE, PROGRAMS_TRACING },
	{ BPF_PROG_TYPE_KPROBE, PROGRAMS_TRACING },
	{ BPF_PROG_TYPE_PERF_EVENT, PROGRAMS_TRACING },
	{ BPF_PROG_TYPE_TRACING, PROGRAMS_TRACING },
	{ BPF_PROG_TYPE_LSM, PROGRAMS_TRACING },
};

enum program_word program_word_of(uint32_t type)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if ((uint32_t)types[i].type == type)
			return types[i].word;
	return PROGRAMS_WORDS;
}

/* The bits of one word; 0: there is no such word. */
static uint32_t bits_of(const char *word, size_t size)
{
	if (size == 3 && strncmp(word, "all", size) == 0)
		return ALL;
	for (size_t i = 0; i < PROGRAMS_WORDS; i++)
		if (strlen(program_words[i].name) == size &&
		    strncmp(word, program_words[i].name, size) == 0)
			return 1u << i;
	return 0;
}

static const char *unknown(const char *word, size_t size)
{
	static char text[192];
	int at = snprintf(text, sizeof(text), "%.*s is none of all",
			  size < 32 ? (int)size : 32, word);

	for (size_t i = 0; i < PROGRAMS_WORDS; i++)
		at += snprintf(text + at, sizeof(text) - (size_t)at, ", %s",
			       program_words[i].name);
	return text;
}

const char *program_words_read(const char *text, uint32_t *set)
{
	size_t size;
	uint32_t bits;

	for (;; text += size + 1) {
		size = strcspn(text, ",");
		bits = bits_of(text, size);
		if (bits == 0)
			return unknown(text, size);
		*set |= bits;
		if (text[size] == '\0')
			return NULL;
	}
}
