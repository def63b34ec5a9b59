/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HANDLES_H
#define HANDLES_H

#include <ei.h>
#include <stdint.h>

#include "bpf/resource.h"
#include "state/state.h"

struct cert_names;

#define HANDLES_MAX (1u << 18) /* the first word of a reference has 18 bits */

/*
 * The kernel objects that nodes of the cluster hold, each by a reference made
 * by this process, with 64 random bits so that nobody can guess it. Safe to use
 * from any thread.
 */
struct handles;

/*
 * An owner of handles: one incarnation of a node, identified by its name and
 * the creation in its handshake. It has a connection (briefly two, when one
 * replaces another). It ends after the grace period without connections, or
 * when another incarnation of that name connects; handles that it alone holds
 * end with it.
 */
struct handles_owner;

/* When a handle ends, apart from handles_close(). */
enum handles_lifetime {
	HANDLES_NODE,      /* with its last owner */
	HANDLES_PROCESS,   /* with a process of its owner, or with the owner */
	HANDLES_PERMANENT, /* never; it has no owner */
};

/* node, process or permanent. */
extern const char *const handles_lifetimes[HANDLES_PERMANENT + 1];

struct handles_limits {
	uint32_t max; /* of maps */
	uint32_t max_per_node;
	uint32_t max_programs; /* of programs and links; 0: there are none */
	uint32_t max_programs_per_node;
	unsigned grace; /* s that handles outlive their node's connections */
};

/* References carry node and creation. NULL with errno. */
struct handles *handles_new(const char *node, uint32_t creation,
			    const struct handles_limits *limits);
void handles_free(struct handles *handles);

/* Has ended called for the object of each handle that ends, without a lock. */
void handles_tell(struct handles *handles,
		  void (*ended)(const struct resource *resource, void *context),
		  void *context);

/*
 * A node has connected, and shown a certificate with those names, if any: ends
 * the other incarnations of its name. Pair each call with one of
 * handles_owner_down(); *owner is valid until then. -EACCES: an owner of that
 * name, connected or within its grace period, has shown a certificate that
 * shares no name with this one; -ENOMEM.
 */
struct handles_node {
	const char *name;
	uint32_t creation;
	const char *tls; /* the version, not copied; none: without */
	/* may be empty; NULL: this node asks for no certificates */
	const struct cert_names *names;
};

int handles_owner_up(struct handles *handles, const struct handles_node *node,
		     struct handles_owner **owner);

/* Whether that would be -EACCES now. */
bool handles_is_of_another(struct handles *handles, const char *name,
			   const struct cert_names *names);
void handles_owner_down(struct handles *handles, struct handles_owner *owner);

/*
 * Ends owners whose grace period is over. Returns the milliseconds until the
 * next one is due, -1 for none.
 */
int handles_reap(struct handles *handles);

/*
 * Ends handles from handles_add_shared() that nobody has used for the grace
 * period, a second at least, and whose map is in no map of maps with a handle.
 * Does one step of that, some 20 ms at most, and returns the milliseconds until
 * the next step, -1 for none. Call it from one thread only.
 */
int handles_end_idle(struct handles *handles);

/* Places for handles of objects that the kernel is about to make. */
struct handles_reservation {
	uint32_t left[RESOURCE_CLASSES];
};

/*
 * Before objects are made for new handles: reserves as many places as the
 * reservation says. 0, or -EMFILE as handles_add(), with an empty reservation.
 * Otherwise call handles_unreserve() in the end, which gives back what
 * handles_add() has not used.
 */
int handles_reserve(struct handles *handles, struct handles_owner *owner,
		    struct handles_reservation *reservation);
/*
 * The same for a guess, before it is known how many objects there will be: as
 * many places of each class where that is a small part of those that are left,
 * and none where it is not. So that guesses refuse nothing to others, what
 * comes close to a limit is counted first.
 */
void handles_reserve_guess(struct handles *handles, struct handles_owner *owner,
			   struct handles_reservation *reservation);
void handles_unreserve(struct handles *handles, struct handles_owner *owner,
		       struct handles_reservation *reservation);

/* The same without a reservation, for so many objects of a class. */
int handles_check_capacity(struct handles *handles,
			   const struct handles_owner *owner,
			   enum resource_class class, uint32_t wanted);

/* How long a new handle lives. */
struct handles_lease {
	enum handles_lifetime lifetime;
	const char *process; /* HANDLES_PROCESS: an encoded pid, copied */
	size_t process_size;
	struct handles_reservation *reservation; /* NULL: none */
};

/*
 * Makes a handle for resource; on success it takes over the caller's reference
 * to that. It uses up a place of the reservation, if there is one. -EMFILE: the
 * total or the node's limit is reached, which is logged.
 * -ESTALE: the owner has ended. -ENOMEM, -EIO; or why it cannot be kept.
 */
int handles_add(struct handles *handles, struct handles_owner *owner,
		struct resource *resource, const struct handles_lease *lease,
		erlang_ref *ref);

struct handles_wanted {
	const struct resource_kind *kind;
	uint32_t id;
	bool restricted; /* both as in struct resource */
	bool is_view;
};

/*
 * Finds the oldest live handle for an object that the caller has found in the
 * kernel. If the handle is from handles_add_shared(), owner becomes a holder.
 * -ENOENT: no handle. -EMFILE, -ESTALE, -ENOMEM as handles_add().
 */
int handles_find(struct handles *handles, struct handles_owner *owner,
		 const struct handles_wanted *wanted, erlang_ref *ref);

/* As handles_add(), for a node's handle of a map that handles_find() may share.
 */
int handles_add_shared(struct handles *handles, struct handles_owner *owner,
		       struct resource *resource, erlang_ref *ref);

/*
 * For a map about to be taken out of its outer map: handles_end_idle() no
 * longer ends the shared handle. 0, or why that cannot be kept over a restart.
 */
int handles_keep(struct handles *handles, const erlang_ref *ref);

uint32_t handles_count(struct handles *handles);

/* --- Over a restart ------------------------------------------------------- */

/* What it takes to open an object again. */
struct handles_description {
	unsigned char *bytes; /* from malloc(3) */
	size_t size;
	/* the same for what it shares with others; NULL: nothing. Its first
	   byte is STATE_PART */
	unsigned char *part;
	size_t part_size;
	bool pins;       /* its descriptor can be pinned, */
	const int *more; /* and these, which belong to it */
	unsigned more_count;
};

struct handles_keeper {
	struct state *state;
	/* 0 or -ENOMEM */
	int (*describe)(const struct resource *resource,
			struct handles_description *description);
};

/*
 * Keeps the handles that are made from now on: they are in the state before
 * handles_add() returns, until they end; the end of this process does not end
 * them. Call it before the first node connects.
 */
void handles_keep_in(struct handles *handles,
		     const struct handles_keeper *keeper);

/*
 * Call it before the connections of nodes are ended, at an orderly end: handles
 * do not end with them any more, if they are kept, and it is logged how many
 * there are.
 */
void handles_stop(struct handles *handles);

/* A handle as the state has it; texts are valid as long as the bytes are. */
struct handles_kept {
	uint32_t record;
	uint32_t slot;
	uint32_t random[2];
	struct state_pin pin; /* the first one */
	uint32_t pins;        /* 0: it could not be kept */
	uint32_t part;        /* a record of STATE_PART; 0: none */
	uint32_t id;          /* of its object */
	enum handles_lifetime lifetime;
	bool shared;
	bool taken_out;
	char owner[MAXATOMLEN_UTF8]; /* empty: it is shared */
	uint32_t creation;
	const char *process;
	size_t process_size;
	const char *description;
	size_t description_size;
};

/* From a record of STATE_HANDLE or STATE_HOLDING. False: it is none. */
bool handles_read_kept(const void *bytes, size_t size,
		       struct handles_kept *kept);
bool handles_read_holding(const void *bytes, size_t size,
			  struct handles_kept *kept);

/*
 * Before the first node connects: makes handles as they were, whose references
 * have this creation. Then handles_restored(), which returns how many owners
 * there are, for which their grace period begins.
 *
 * handles_restore() takes over the reference to resource if it returns 0; 1:
 * the handle is there already, by a record written before this one. -EEXIST:
 * the slot is taken, or that owner holds it already; -ENOENT: there is no such
 * shared handle. _reserve(): nobody gets the slot, and it counts as a handle.
 */
void handles_restore_begin(struct handles *handles, uint32_t creation);
int handles_restore(struct handles *handles, const struct handles_kept *kept,
		    struct resource *resource);
int handles_restore_holding(struct handles *handles,
			    const struct handles_kept *kept);
int handles_restore_reserve(struct handles *handles,
			    const struct handles_kept *kept,
			    enum resource_class class);
/*
 * Behind all these, from a record of STATE_OWNER: what an owner has shown.
 * -EBADMSG: it is none; -ENOENT: there is no such owner; -EEXIST: it has one
 * already; -ENOMEM.
 */
int handles_restore_owner(struct handles *handles, uint32_t number,
			  const void *bytes, size_t size);
uint32_t handles_restored(struct handles *handles);

/*
 * The object of a live handle, of any kind, with a reference for the caller;
 * NULL: no such handle.
 */
struct resource *handles_get(struct handles *handles, const erlang_ref *ref);

/* The process of a lease. */
struct handles_process {
	char *pid; /* encoded; the caller frees it */
	size_t size;
};

/*
 * Ends a handle. -EBADF: no such handle. -EACCES: only_own is set and owner is
 * not its sole holder. Sets *process if the handle was to end with a process of
 * owner.
 */
int handles_close(struct handles *handles, const struct handles_owner *owner,
		  const erlang_ref *ref, bool only_own,
		  struct handles_process *process);

/* Ends a HANDLES_PROCESS handle of owner, whose process has ended. */
void handles_process_ended(struct handles *handles,
			   const struct handles_owner *owner,
			   const erlang_ref *ref);

/* A handle, as a visitor sees it; valid during the visit. */
struct handles_info {
	struct resource *resource;
	const erlang_ref *ref;
	enum handles_lifetime lifetime;
	const struct handles_node *owner; /* NULL: none */
	const char *process;
	size_t process_size;
};

/*
 * With id 0, calls visit for each handle of that kind, once per owner; with
 * another id, once for each handle of that object. visit must not call
 * handles_*().
 */
typedef void (*handles_visitor)(const struct handles_info *info, void *context);
void handles_each(struct handles *handles, const struct resource_kind *kind,
		  uint32_t id, handles_visitor visit, void *context);

/* Calls visit for each owner that is connected; it must not call handles_*().
 */
void handles_each_owner(struct handles *handles,
			void (*visit)(const struct handles_node *node,
				      void *context),
			void *context);

/* As handles_each(), once for each handle that owner holds. */
void handles_each_of(struct handles *handles, const struct handles_owner *owner,
		     handles_visitor visit, void *context);

#endif
