/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LANDLOCK_H
#define LANDLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What this process may still reach. */
struct landlock_limits {
	int pin_root;   /* a descriptor; -1: all bpf file systems */
	int netns_root; /* a descriptor; -1: none */
	int cgroups;    /* a descriptor of their folder; -1: none */
	int keep;       /* of a folder for pins of this process; -1: none */
	const char *const *folders; /* whose files may be read */
	size_t folder_count;
	bool counting;      /* whether the kernel counts runs of programs */
	uint16_t epmd_port; /* 0: no port */
	bool signals; /* children may get one when it ends: PR_SET_PDEATHSIG */
};

/*
 * Confines this thread and those that it starts, for good. Needs no_new_privs.
 * Returns the version of Landlock, from 1 on; -ENOSYS if the kernel has none,
 * -EPERM if a container refuses it, or another -errno.
 */
int landlock_confine(const struct landlock_limits *limits);

/* What may be read. */
struct landlock_path {
	const char *path;

	enum {
		LANDLOCK_FILE,
		LANDLOCK_FOLDER, /* its files, and those below it */
		LANDLOCK_NAMES,  /* the folders below it, but no files */
	} kind;
};

/*
 * Makes the rules of a process that may read these and reach nothing else.
 * Returns a descriptor, or -errno as above. The paths stay open.
 */
int landlock_prepare(const struct landlock_path *paths, size_t count);

/* Confines this thread by such rules. Needs no_new_privs. 0 or -errno. */
int landlock_enter(int ruleset);

/* The first version that confines connections. */
#define LANDLOCK_WITH_NET 4

#endif
