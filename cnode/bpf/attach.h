/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ATTACH_H
#define ATTACH_H

#include <stdbool.h>
#include <stdint.h>

#define ATTACH_NAME_SIZE 128

enum attach_kind {
	ATTACH_TRACEPOINT,     /* category, name */
	ATTACH_RAW_TRACEPOINT, /* name */
	ATTACH_BTF,            /* what the program was loaded for */
	ATTACH_KPROBE,         /* name, offset */
	ATTACH_KRETPROBE,      /* name, offset */
	ATTACH_XDP,            /* ifindex, generic */
	ATTACH_TC,             /* ifindex, egress, order */
	ATTACH_CGROUP,         /* fd */
	ATTACH_NETNS,          /* fd */
	ATTACH_SOCKMAP,        /* fd, of the map */
	ATTACH_PERF,           /* hz */
	ATTACH_KINDS,
};

enum attach_order {
	ATTACH_FIRST,
	ATTACH_LAST,
	ATTACH_BEFORE, /* relative_fd */
	ATTACH_AFTER,
};

/* Where a program is attached; unused members are zero, descriptors -1. */
struct attach_target {
	enum attach_kind kind;
	char category[ATTACH_NAME_SIZE];
	char name[ATTACH_NAME_SIZE];
	uint64_t offset;
	uint32_t ifindex;
	uint32_t hz;
	enum attach_order order;
	bool generic; /* ATTACH_XDP: not by the driver */
	bool egress;  /* ATTACH_TC */
	int fd;
	int relative_fd; /* of a link */
};

/* A row of the table of targets. */
struct attach_row {
	const char *name; /* "xdp": the atom, or the first of a tuple */
	/* the loader has to do it: files of tracefs, CAP_PERFMON */
	bool by_loader;
	/* where the kernel has no such link, a keeper of the loader does it */
	bool by_keeper;
};

extern const struct attach_row attach_rows[ATTACH_KINDS];

/*
 * Links a program to a target by bpf(2) alone; *fd is the link. 0 or -errno:
 * -EINVAL also for a type of program that has no such target, -EOPNOTSUPP for a
 * kernel that lacks it.
 */
int attach_by_fd(int program_fd, uint32_t program_type,
		 uint32_t expected_attach_type,
		 const struct attach_target *target, int *fd);

/*
 * The type to attach by to such a descriptor: the expected one of the program,
 * or that of its type; 0: it has no such target.
 */
uint32_t attach_type_of(enum attach_kind kind, uint32_t program_type,
			uint32_t expected_attach_type);

#endif
