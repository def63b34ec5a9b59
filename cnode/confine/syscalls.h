/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SYSCALLS_H
#define SYSCALLS_H

/* Whose filter. */
enum syscalls_of {
	SYSCALLS_OF_NODE,
	SYSCALLS_OF_NODE_WITHOUT_IDS,
	SYSCALLS_OF_PROGRAMS, /* the node, with --programs */
	SYSCALLS_OF_PROGRAMS_WITHOUT_IDS,
	/* the same four of a node that registers with no epmd */
	SYSCALLS_OF_NODE_NO_EPMD,
	SYSCALLS_OF_NODE_NO_EPMD_WITHOUT_IDS,
	SYSCALLS_OF_PROGRAMS_NO_EPMD,
	SYSCALLS_OF_PROGRAMS_NO_EPMD_WITHOUT_IDS,
	SYSCALLS_OF_LOADER, /* includes those of its children */
	SYSCALLS_OF_LOAD,
	SYSCALLS_OF_RUN,
	SYSCALLS_OF_ATTACH,
	SYSCALLS_OF_KEEP,
	SYSCALLS_OF_PERF,
};

/*
 * From here on a system call, or an argument of one, that this process never
 * uses kills it. Applies to all threads, for good, and needs no_new_privs.
 * Without ids, opening a map by id fails with EPERM. 0 or -errno.
 */
int syscalls_confine(enum syscalls_of of);

#endif
