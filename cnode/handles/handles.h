/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HANDLES_H
#define HANDLES_H

#include <ei.h>
#include <stdint.h>

#include "bpf/resource.h"

#define HANDLES_MAX (1u << 18) /* what the first word of a reference holds */

/*
 * The kernel objects that nodes of the cluster hold, each by a reference that
 * this process made and that cannot be guessed: 64 of its bits are random. Safe
 * to use from any thread.
 */
struct handles;

/*
 * Who holds handles: one incarnation of a node, by its name and the creation
 * of its handshake. It has connections (two for a moment when one replaces
 * another) and ends when it has had none for the time of grace, or when
 * another incarnation of that name comes; what it alone holds ends with it.
 */
struct handles_owner;

/* How a handle ends but by handles_close(). */
enum handles_lifetime {
	HANDLES_NODE,      /* with the last owner that holds it */
	HANDLES_PROCESS,   /* with a process of its owner, or with that */
	HANDLES_PERMANENT, /* not at all; it has no owner */
};

struct handles_limits {
	uint32_t max;
	uint32_t max_per_node;
	unsigned grace; /* s that what a node holds is kept when it has gone */
};

/* node and creation go into the references. NULL with errno. */
struct handles *handles_new(const char *node, uint32_t creation,
			    const struct handles_limits *limits);
void handles_free(struct handles *handles);

/*
 * A node has connected: ends the other incarnations of that name. The owner
 * is valid until the handles_owner_down() that each of these calls needs.
 * NULL: no memory.
 */
struct handles_owner *handles_owner_up(struct handles *handles,
				       const char *name, uint32_t creation);
void handles_owner_down(struct handles *handles, struct handles_owner *owner);

/*
 * Ends owners whose time of grace is over. Returns the milliseconds until the
 * next one is due, -1 for none.
 */
int handles_reap(struct handles *handles);

/*
 * Ends what handles_add_shared() has added, nobody has used for the time of
 * grace, or a second where that is less, and whose map is in no map of maps
 * that has a handle. Does a piece of that work, of some 20 ms at most, and
 * returns the milliseconds until the next, -1 for none. For one thread.
 */
int handles_end_idle(struct handles *handles);

/* How long a new handle is to live. */
struct handles_lease {
	enum handles_lifetime lifetime;
	const char *process; /* HANDLES_PROCESS: an encoded pid, to be copied */
	size_t process_size;
};

/*
 * A handle for resource, whose reference it takes over when it succeeds.
 * -EMFILE: there are as many as may be, or that node has, which is logged.
 * -ESTALE: the owner has ended. -ENOMEM.
 */
int handles_add(struct handles *handles, struct handles_owner *owner,
		struct resource *resource, const struct handles_lease *lease,
		erlang_ref *ref);

struct handles_wanted {
	const struct resource_kind *kind;
	uint32_t id;
	bool restricted; /* as in struct resource */
};

/*
 * The oldest live handle for the wanted object, which was found in the kernel.
 * If handles_add_shared() made it, owner holds it too from then on. -ENOENT:
 * there is none.
 */
int handles_find(struct handles *handles, struct handles_owner *owner,
		 const struct handles_wanted *wanted, erlang_ref *ref);

/* As handles_add(), for a handle that handles_find() may share. */
int handles_add_shared(struct handles *handles, struct handles_owner *owner,
		       struct resource *resource, erlang_ref *ref);

/*
 * The map of such a handle is taken out of the one that it was in: it is kept
 * now as one that a node has made.
 */
void handles_keep(struct handles *handles, const erlang_ref *ref);

/* How many there are. */
uint32_t handles_count(struct handles *handles);

/* Whether one more could be added, before a map is made for it. */
int handles_check_capacity(struct handles *handles,
			   const struct handles_owner *owner);

/*
 * The object of a live handle, of whatever kind, with a reference for the
 * caller; NULL: there is no such handle.
 */
struct resource *handles_get(struct handles *handles, const erlang_ref *ref);

/* As handles_add() was given it. */
struct handles_process {
	char *pid; /* to be freed */
	size_t size;
};

/*
 * Ends a handle. -EBADF where there is none; -EACCES where with only_own it is
 * not held by owner and nobody else. If it was to end with a process of owner,
 * *process is that.
 */
int handles_close(struct handles *handles, const struct handles_owner *owner,
		  const erlang_ref *ref, bool only_own,
		  struct handles_process *process);

/* Ends a handle of that lifetime that owner holds, whose process has ended. */
void handles_process_ended(struct handles *handles,
			   const struct handles_owner *owner,
			   const erlang_ref *ref);

/* What a visitor is told of a handle; good while it is being told. */
struct handles_info {
	struct resource *resource;
	const erlang_ref *ref;
	enum handles_lifetime lifetime;
	const char *owner; /* NULL: it has none */
	const char *process;
	size_t process_size;
};

/*
 * Calls visit for each handle of that kind and each of its owners; with an id
 * other than 0 once for each handle of that object. visit must not call
 * handles_*().
 */
typedef void (*handles_visitor)(const struct handles_info *info, void *context);
void handles_each(struct handles *handles, const struct resource_kind *kind,
		  uint32_t id, handles_visitor visit, void *context);

/* The same, once for each handle that owner holds. */
void handles_each_of(struct handles *handles, const struct handles_owner *owner,
		     handles_visitor visit, void *context);

#endif
