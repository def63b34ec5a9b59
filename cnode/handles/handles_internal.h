/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HANDLES_INTERNAL_H
#define HANDLES_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "base/clock.h"
#include "handles/handles.h"
#include "handles/holders.h"

/*
 * What handles.c, handle_owners.c and handle_table.c have in common. All of
 * it is guarded by the lock of struct handles; whoever takes that calls what
 * stands here, and nothing else does.
 */

/* That an owner holds a handle: it stands in the lists of both. */
struct holding {
	struct handle *handle;
	struct handles_owner *owner;
	LIST_ENTRY(holding) of_owner;
	LIST_ENTRY(holding) of_handle;
};

LIST_HEAD(holding_list, holding);

struct handle {
	struct resource *resource;
	uint32_t slot;
	uint32_t random[2];
	enum handles_lifetime lifetime;
	bool shared;            /* who comes upon its map holds it too */
	struct holder *creator; /* HANDLES_PERMANENT: whom it counts for */
	char *process;          /* HANDLES_PROCESS: an encoded pid */
	size_t process_size;
	struct holding_list holdings;
	/* shared, but what was taken out: handle_idle.c */
	bool idles;
	atomic_llong used; /* the last time: ms */
	int64_t look;      /* when that is looked at: ms */
	TAILQ_ENTRY(handle) idle;
	struct handle_ending *ending; /* for the audit trail, once it ended */

	union {
		LIST_ENTRY(handle) of_bucket; /* those of one map are in one */
		SLIST_ENTRY(handle) ended;
	};
};

LIST_HEAD(handle_bucket, handle);

#define HANDLE_BUCKETS 1024

struct handle_slot {
	struct handle *handle; /* NULL: it is free */
	uint32_t next_free;
};

struct handle_table {
	char node[MAXATOMLEN_UTF8];
	uint32_t creation;
	uint32_t max;
	uint32_t used;
	uint32_t slots;
	uint32_t first_free;
	struct handle_slot *table;
	struct handle_bucket buckets[HANDLE_BUCKETS]; /* by the map's id */
};

/* Whose time is over first, first. */
struct wait_queue {
	TAILQ_HEAD(wait_list, handles_owner) owners;
	uint32_t length;
};

struct handles_owner {
	struct holder *holder; /* of its name */
	uint32_t creation;
	unsigned connections;
	int64_t since;        /* the last one: ms */
	unsigned short_lives; /* of its connections, in a row */
	bool ended;           /* another incarnation has come */
	int64_t deadline;     /* while there are no connections: ms */
	struct holding_list holdings;
	uint32_t own; /* of the holdings, those of handles that it has made */
	/* without connections: where it stands until the deadline */
	struct wait_queue *queue;
	TAILQ_ENTRY(handles_owner) waiting;
	LIST_ENTRY(handles_owner) of_name; /* in its holder */
};

struct handles {
	pthread_rwlock_t lock;
	uint32_t max_per_node;
	int64_t grace; /* ms */
	struct handle_table table;
	struct holders holders;
	struct wait_queue creators;
	struct wait_queue borrowers; /* have made nothing of what they hold */
	int64_t idle; /* ms that what came from reading is kept without use */
	TAILQ_HEAD(idle_list, handle) idle_handles;
	struct idle_look *look; /* of the thread that ends them alone */
	uint64_t max_holdings;
	uint64_t holdings;
};

/*
 * Handles that have ended, whose maps are to be closed without the lock; and
 * what the audit trail calls that.
 */
struct ended_handles {
	SLIST_HEAD(, handle) list;
	const char *event;  /* NULL: nobody knows of them */
	const char *reason; /* of those that end from now on */
};

#define HANDLE_ENDED "handle_ended"

/* --- handle_table.c: references and handles ----------------------------- */

void handle_table_init(struct handle_table *table, const char *node,
		       uint32_t creation, uint32_t max);

/* A copy of handle in a slot of its own; there is one. NULL: no memory. */
struct handle *handle_table_add(struct handle_table *table,
				const struct handle *handle);

/* The handle is the caller's to free then. */
void handle_table_remove(struct handle_table *table, struct handle *handle);

/* The live handle of a reference. NULL: there is none. */
struct handle *handle_table_find(const struct handle_table *table,
				 const erlang_ref *ref);
void handle_table_make_ref(const struct handle_table *table,
			   const struct handle *handle, erlang_ref *ref);

/* Where the handles of that map are, with those of others. */
struct handle_bucket *handle_table_bucket(struct handle_table *table,
					  uint32_t id);

/* --- handle_owners.c: owners and what they hold ------------------------- */

/* -ENOMEM */
int handle_owners_hold(struct handles *handles, struct handles_owner *owner,
		       struct handle *handle);
bool handle_owners_hold_it(const struct handles_owner *owner,
			   const struct handle *handle);

/* Ends a handle, whoever holds it, and adds it to those that have. */
void handle_owners_end_handle(struct handles *handles, struct handle *handle,
			      struct ended_handles *ended);

/* Frees them and closes their maps, which may take the kernel long. */
void handle_owners_free_ended(struct ended_handles *ended);

/* --- handle_idle.c: what came from reading, and is used no more ---------- */

void handle_idle_add(struct handles *handles, struct handle *handle);

/* It is no longer looked at, if it was. */
void handle_idle_remove(struct handles *handles, struct handle *handle);

/* Before all is freed; without the lock. */
void handle_idle_fini(struct handles *handles);

/* Somebody has asked for it; the lock to read will do. */
static inline void handle_idle_use(struct handle *handle)
{
	if (handle->idles)
		atomic_store_explicit(&handle->used, clock_ms(),
				      memory_order_relaxed);
}

/* --- handle_audit.c: what the audit trail tells of handles --------------- */

/*
 * To be called without the lock, with a copy of a handle that is open to
 * others, whose map the caller has.
 */
void handle_audit_begins(const char *event, const struct handle *handle,
			 const struct handles_owner *owner);

/* Under the lock, while it is still held: by whom, and why it ends. */
void handle_audit_note_end(struct handle *handle, const char *reason);

/* Without the lock. Frees what has been noted. */
void handle_audit_ends(struct handle *handle, const char *event);

#endif
