/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROGRAM_WORDS_H
#define PROGRAM_WORDS_H

#include <stdbool.h>
#include <stdint.h>

/* The words of --programs: bits of a set. */
enum program_word {
	PROGRAMS_SOCKET,  /* socket_filter, sk_reuseport: load and run only */
	PROGRAMS_XDP,     /* xdp */
	PROGRAMS_TC,      /* sched_cls, sched_act */
	PROGRAMS_CGROUP,  /* cgroup_*, sock_ops */
	PROGRAMS_SOCKMAP, /* sk_skb, sk_msg */
	PROGRAMS_NETNS,   /* sk_lookup, flow_dissector */
	PROGRAMS_LWT,     /* lwt_*: load and run only */
	PROGRAMS_TRACING, /* tracepoint, raw_tracepoint*, kprobe, perf_event,
			     tracing, lsm */
	PROGRAMS_WORDS,
};

/* What loading a type needs beside CAP_BPF. */
enum program_capability {
	PROGRAM_NEEDS_BPF,
	PROGRAM_NEEDS_NET_ADMIN,
	PROGRAM_NEEDS_PERFMON,
};

struct program_word_row {
	const char *name;
	enum program_capability needs;
};

extern const struct program_word_row program_words[PROGRAMS_WORDS];

/*
 * The word that allows a type of program; PROGRAMS_WORDS: none does, as for
 * syscall, ext and struct_ops.
 */
enum program_word program_word_of(uint32_t type);

/*
 * Adds "xdp,tc" or "all" to a set of 1 << word. NULL, or the text of an error,
 * valid until the next call.
 */
const char *program_words_read(const char *text, uint32_t *set);

static inline bool program_words_have(uint32_t set, enum program_word word)
{
	return (set & (1u << word)) != 0;
}

static inline bool program_words_allow(uint32_t set, uint32_t type)
{
	enum program_word word = program_word_of(type);

	return word < PROGRAMS_WORDS && program_words_have(set, word);
}

#endif
