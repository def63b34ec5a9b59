/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RESOURCE_H
#define RESOURCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define RESOURCE_NAME_SIZE 16 /* BPF_OBJ_NAME_LEN: 15 characters and a NUL */
#define RESOURCE_TYPE_SIZE 48

struct resource;

/* A resource as the log describes it. */
struct resource_text {
	char type[RESOURCE_TYPE_SIZE]; /* libbpf's name, or a number */
	char name[RESOURCE_NAME_SIZE]; /* empty: none */
	const char *access;            /* NULL: both read and write */
};

/* What limits how many there may be: --max-maps, --max-programs. */
enum resource_class {
	RESOURCE_MAPS,
	RESOURCE_PROGRAMS, /* and links */
	RESOURCE_CLASSES,
};

/* One constant per kind; its address identifies the kind. */
struct resource_kind {
	const char *name; /* "map" */
	enum resource_class class;
	/* the kernel's name of its descriptors, as /proc/PID/fd shows it */
	const char *inode;
	/* to open a pin for a look: a pin, its file system or a security module
	   may allow only BPF_F_RDONLY, which a link does not */
	uint32_t look_flags;
	void (*describe)(const struct resource *resource,
			 struct resource_text *text);
	/* frees the struct around the resource; fd is already closed */
	void (*free)(struct resource *resource);
};

/*
 * An open kernel object with a reference count; the last reference closes the
 * descriptor. The struct of each kind begins with one. Nothing but the count
 * changes while other threads can see it.
 */
struct resource {
	const struct resource_kind *kind;
	int fd;
	uint32_t id;     /* unique within its kind */
	bool restricted; /* the descriptor can only read, or only write */
	bool is_view;    /* of another use: no handle of it is shared */
	atomic_uint refs;
	/* NULL, or called after fd is closed, before the struct is freed */
	void (*closed)(struct resource *resource);
};

/* Of a zeroed struct. Takes over fd; the caller has the only reference. */
void resource_init(struct resource *resource, const struct resource_kind *kind,
		   int fd);

/*
 * -EINVAL if fd is not of that kind. Objects of other kinds can be pinned or
 * sent as well, and answer some of the commands.
 */
int resource_check_kind(int fd, const struct resource_kind *kind);

/* False if another thread has already dropped the last reference. */
bool resource_try_ref(struct resource *resource);

/* For resource_unref() only. */
void resource_close(struct resource *resource);

static inline struct resource *resource_ref(struct resource *resource)
{
	atomic_fetch_add(&resource->refs, 1);
	return resource;
}

/* Takes NULL. Inline, as most requests only drop a reference. */
static inline void resource_unref(struct resource *resource)
{
	if (resource && atomic_fetch_sub(&resource->refs, 1) == 1)
		resource_close(resource);
}

#endif
