/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROGRAM_H
#define PROGRAM_H

#include <stddef.h>

#include "bpf/resource.h"

/* An open kernel program: a reference-counted resource. */
struct program {
	struct resource resource; /* first: see program_of() */
	uint32_t type;
	char name[RESOURCE_NAME_SIZE]; /* the kernel's */
	/* what only its loader knows; see program_set_origin() */
	uint32_t attach_type; /* expected; enum bpf_attach_type */
	char *full_name;      /* NULL: that of the kernel */
	char *section;        /* of its object; NULL: none */
	_Atomic int counting; /* keeps the kernel counting; 0: not yet */
};

/* The kernel's description of a program. */
struct program_info {
	uint32_t id;
	uint32_t type;
	uint32_t btf_id; /* 0: none */
	uint32_t uid;    /* who loaded it */
	uint32_t map_count;
	uint32_t instructions; /* that the verifier has seen */
	uint32_t translated;   /* bytes, of instructions */
	uint32_t jited;        /* bytes */
	uint64_t loaded;       /* ns since the boot */
	uint64_t run_time;     /* ns, while counting is on */
	uint64_t run_count;
	uint64_t recursion_misses;
	bool gpl;
	char name[RESOURCE_NAME_SIZE];
	unsigned char tag[8];
};

extern const struct resource_kind program_kind;

/* libbpf's name of a type, such as "sched_cls"; NULL past the last one. */
const char *program_type_name(uint32_t type);

/*
 * Takes over fd, even on failure: from the loader, which is not believed.
 * -EINVAL if fd is no program's.
 */
int program_adopt(int fd, struct program **program);

/*
 * Copies the name and the section; NULL: there is none. -ENOMEM. Call before
 * others see the program.
 */
int program_set_origin(struct program *program, const char *name,
		       const char *section, uint32_t attach_type);

/* Its name in its object, or else the kernel's, which may be cut off. */
static inline const char *program_name(const struct program *program)
{
	return program->full_name ? program->full_name : program->name;
}

/* An id takes CAP_SYS_ADMIN. -EINVAL if the pin at path is not a program's. */
int program_open_id(uint32_t id, struct program **program);
int program_open_pinned(const char *path, struct program **program);

/* Advances *id to the host's next program id; -ENOENT after the last. */
int program_next_id(uint32_t *id);

int program_get_info(const struct program *program, struct program_info *info);

/*
 * From now on, and until the program is closed, the kernel counts the runs of
 * all programs. 0 or -errno; -EPERM: it takes CAP_SYS_ADMIN, unless the sysctl
 * kernel.bpf_stats_enabled is on. Since Linux 5.8.
 */
int program_count_on(struct program *program);

/*
 * The ids of the maps that it uses. There is room for *count of them; *count
 * becomes how many there are, and -ENOSPC says that not all of them fitted.
 */
int program_get_maps(const struct program *program, uint32_t *ids,
		     uint32_t *count);

/* The resource as a program; NULL for another kind, and for NULL. */
static inline struct program *program_of(struct resource *resource)
{
	return resource && resource->kind == &program_kind
		       ? (struct program *)resource
		       : NULL;
}

#endif
