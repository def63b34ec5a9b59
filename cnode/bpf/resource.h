/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RESOURCE_H
#define RESOURCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define RESOURCE_NAME_SIZE 16 /* BPF_OBJ_NAME_LEN: 15 characters and a NUL */
#define RESOURCE_TYPE_SIZE 48

struct resource;

/* What the log says about a resource. */
struct resource_text {
	char type[RESOURCE_TYPE_SIZE]; /* libbpf's word, or a number */
	char name[RESOURCE_NAME_SIZE]; /* empty: it has none */
	const char *access;            /* NULL: both read and write */
};

/* One constant per kind; its address identifies the kind. */
struct resource_kind {
	const char *name; /* "map" */
	void (*describe)(const struct resource *resource,
			 struct resource_text *text);
	/* frees the struct that the resource begins; fd is closed already */
	void (*free)(struct resource *resource);
};

/*
 * An open kernel object, counted; the descriptor is closed with the last
 * reference. The struct of each
 * kind begins with one. Everything but the count is constant while others can
 * see it.
 */
struct resource {
	const struct resource_kind *kind;
	int fd;
	uint32_t id;     /* unique among those of its kind */
	bool restricted; /* the descriptor can only read, or only write */
	atomic_uint refs;
	/* NULL, or called once fd is closed, before the rest is freed */
	void (*closed)(struct resource *resource);
};

/* For a struct of zeros. The caller has the only reference, and owns fd. */
void resource_init(struct resource *resource, const struct resource_kind *kind,
		   int fd);

/* Where another thread may drop the last reference: false if it has. */
bool resource_try_ref(struct resource *resource);

/* Closes a resource without references; for resource_unref(). */
void resource_close(struct resource *resource);

static inline struct resource *resource_ref(struct resource *resource)
{
	atomic_fetch_add(&resource->refs, 1);
	return resource;
}

/* Takes NULL. Inlined: most requests do nothing else to a resource. */
static inline void resource_unref(struct resource *resource)
{
	if (resource && atomic_fetch_sub(&resource->refs, 1) == 1)
		resource_close(resource);
}

#endif
