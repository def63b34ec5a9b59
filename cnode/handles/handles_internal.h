/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HANDLES_INTERNAL_H
#define HANDLES_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "base/clock.h"
#include "handles/handles.h"
#include "handles/holders.h"
#include "tls/cert_names.h"

/*
 * Shared by handles.c and handle_*.c. The lock of struct handles guards all of
 * it: callers of these functions hold the lock, unless noted.
 */

/* Links an owner to a handle that it holds; in the lists of both. */
struct holding {
	struct handle *handle;
	struct handles_owner *owner;
	uint32_t record; /* of a shared handle, if it is kept; else 0 */
	LIST_ENTRY(holding) of_owner;
	LIST_ENTRY(holding) of_handle;
};

LIST_HEAD(holding_list, holding);

struct handle {
	struct resource *resource;
	uint32_t slot;
	uint32_t random[2];
	enum handles_lifetime lifetime;
	bool shared; /* of a map; nodes that find that also hold it */
	struct holder *creator; /* HANDLES_PERMANENT: the node it counts for */
	char *process;          /* HANDLES_PROCESS: an encoded pid */
	size_t process_size;
	uint32_t record; /* if it is kept; else 0 */
	uint32_t pins;   /* in the folder of those that are kept */
	uint32_t part;   /* a record that it shares with others; 0: none */
	struct holding_list holdings;
	/* for handle_idle.c */
	bool in_idle_list; /* shared, and its map not taken out */
	atomic_llong used; /* ms: last time */
	int64_t look;      /* ms: next time handle_idle.c checks used */
	TAILQ_ENTRY(handle) idle;
	struct handle_ending *ending; /* for the audit trail, once ended */

	union {
		LIST_ENTRY(handle) of_bucket; /* by the object's id */
		SLIST_ENTRY(handle) ended;
	};
};

LIST_HEAD(handle_bucket, handle);

#define HANDLE_BUCKETS 1024

struct handle_slot {
	struct handle *handle; /* NULL: free */
	uint32_t next_free;
};

struct handle_table {
	char node[MAXATOMLEN_UTF8];
	uint32_t creation;
	uint32_t max;
	uint32_t used[RESOURCE_CLASSES];
	uint32_t slots;
	uint32_t first_free;
	uint32_t spare; /* slots beyond max, for those that were restored */
	struct handle_slot *table;
	struct handle_bucket buckets[HANDLE_BUCKETS]; /* by the object's id */
};

/* Owners without connections, by deadline. */
struct wait_queue {
	TAILQ_HEAD(wait_list, handles_owner) owners;
	uint32_t length;
};

struct handles_owner {
	struct holder *holder; /* of this node name */
	uint32_t creation;
	const char *tls;         /* version of its connection, or none */
	struct cert_names names; /* of its certificate, once it showed one */
	uint32_t record;         /* of these, if they are kept; else 0 */
	_Atomic int unkept;      /* 0, or the -errno of that */
	unsigned connections;
	int64_t since;        /* ms: start of the last connection */
	unsigned short_lives; /* short-lived connections in a row */
	bool ended;           /* freed once it has no connections */
	int64_t deadline;     /* ms; only without connections */
	struct holding_list holdings;
	uint32_t own;             /* holdings of handles that are not shared */
	struct wait_queue *queue; /* NULL while there are connections */
	TAILQ_ENTRY(handles_owner) waiting;
	LIST_ENTRY(handles_owner) of_name; /* in its holder */
};

struct handles {
	pthread_rwlock_t lock;
	uint32_t max[RESOURCE_CLASSES];
	uint32_t max_per_node[RESOURCE_CLASSES];
	uint32_t reserved[RESOURCE_CLASSES];
	int64_t grace; /* ms */
	struct handle_table table;
	struct holders holders;
	struct wait_queue creators;
	struct wait_queue borrowers; /* hold shared handles only */
	int64_t idle; /* ms without use after which a shared handle may end */
	TAILQ_HEAD(idle_list, handle) idle_handles;
	struct idle_look *look; /* only for the thread that ends them */
	uint64_t max_holdings;
	uint64_t holdings;
	/* called for the object of each handle that ends; NULL: nobody is */
	void (*tell)(const struct resource *resource, void *context);
	void *tell_context;
	struct handles_keeper keeper; /* its state is NULL: nothing is kept */
	bool stopping;                /* what is kept does not end any more */
};

/*
 * Ended handles, whose objects are closed once the lock is released; and the
 * event and reason for the audit trail.
 */
struct ended_handles {
	SLIST_HEAD(, handle) list;
	const char *event;  /* NULL: not logged */
	const char *reason; /* of handles that end from now on */
};

#define HANDLE_ENDED "handle_ended"

#define HANDLES_HOLDERS_OF_EACH 64 /* on average; for shared ones only */

/* --- handle_capacity.c: limits and reservations -------------------------- */

enum capacity {
	CAPACITY_LEFT,
	CAPACITY_NOT_OF_NODE,
	CAPACITY_NOT_OF_ANY,
	CAPACITY_NOT_OF_HOLDERS,
};

/* Whether there may be so many more; the read lock is enough. */
enum capacity handle_capacity(const struct handles *handles,
			      const struct holder *holder,
			      enum resource_class class, uint32_t wanted);

/* Turns a reserved place into one that may be used; false: there is none. */
bool handle_capacity_use(struct handles *handles, struct holder *holder,
			 struct handles_reservation *reservation,
			 enum resource_class class);

/* Without the lock: the log may be slow. 0 or -EMFILE. */
int handle_capacity_refuse(const struct handles *handles, const char *node,
			   enum resource_class class, uint32_t wanted,
			   enum capacity found);

/* --- handle_table.c: references and handles ----------------------------- */

void handle_table_init(struct handle_table *table, const char *node,
		       uint32_t creation, uint32_t max);

/* Copies handle into a free slot: there must be one. NULL: no memory. */
struct handle *handle_table_add(struct handle_table *table,
				const struct handle *handle);

/*
 * For handles of before the start: whether the slot is taken, the same into
 * that slot, and a slot that is for nobody. handle_table_link() makes the list
 * of those that are free; call it before the next handle_table_add().
 */
bool handle_table_has(const struct handle_table *table, uint32_t slot);
struct handle *handle_table_put(struct handle_table *table,
				const struct handle *handle, uint32_t slot);
int handle_table_reserve(struct handle_table *table, uint32_t slot);
void handle_table_link(struct handle_table *table);

/* The caller frees the handle. */
void handle_table_remove(struct handle_table *table, struct handle *handle);

/* The live handle of a reference. NULL: none. */
struct handle *handle_table_find(const struct handle_table *table,
				 const erlang_ref *ref);
void handle_table_make_ref(const struct handle_table *table,
			   const struct handle *handle, erlang_ref *ref);

/* Also has handles of objects with other ids. */
struct handle_bucket *handle_table_bucket(struct handle_table *table,
					  uint32_t id);

/* --- handle_owners.c: owners and what they hold ------------------------- */

/* An owner of that holder, without connections; NULL: no memory. */
struct handles_owner *handle_owners_new(struct holder *holder,
					uint32_t creation);

struct handles_node handle_owners_node(const struct handles_owner *owner);

/* One without connections starts to wait for its node. */
void handle_owners_wait(struct handles *handles, struct handles_owner *owner);

/* -ENOMEM */
int handle_owners_hold(struct handles *handles, struct handles_owner *owner,
		       struct handle *handle);
bool handle_owners_hold_it(const struct handles_owner *owner,
			   const struct handle *handle);

/* Ends a handle for all its holders, and adds it to ended. */
void handle_owners_end_handle(struct handles *handles, struct handle *handle,
			      struct ended_handles *ended);

/* Without the lock: closing the objects may take the kernel long. */
void handle_owners_free_ended(const struct handles *handles,
			      struct ended_handles *ended);

/* --- handle_proof.c: who may come as an owner ----------------------------- */

/*
 * Whether who has those names may come under that name: as all owners that are
 * there without any, and all others that have one of them. With NULL anybody
 * may, as nobody is asked for any; nor are they set then.
 */
bool handle_proof_suffices(const struct holder *holder,
			   const struct cert_names *names);
/* -ENOMEM. If they cannot be kept, owner->unkept says why. */
int handle_proof_set(const struct handles *handles, struct handles_owner *owner,
		     const struct cert_names *names);
/* Before the owner is freed. */
void handle_proof_free(const struct handles *handles,
		       struct handles_owner *owner);

/* --- handle_state.c: what is kept over a restart -------------------------- */

/* Room for the record of a handle that is about to be made. */
struct kept_room {
	unsigned char *bytes; /* NULL: none, as nothing is kept */
	size_t size;
	uint32_t record;
	bool pinned; /* what has been pinned stays */
};

/*
 * Without the lock: pins the object of a new handle, which has its random bits,
 * and takes the room. 0 or -errno. Under the lock, once it is made:
 * handle_state_write(). Then in any case, without the lock: _settle(), which
 * gives back all that was not written.
 */
int handle_state_take(struct handles *handles, struct handle *new,
		      const struct handles_owner *owner,
		      struct kept_room *room);
void handle_state_write(struct handles *handles, struct handle *handle,
			struct kept_room *room);
void handle_state_settle(const struct handles *handles, struct handle *new,
			 struct kept_room *room);

/* The same for one more holder of a shared handle. */
int handle_state_take_holding(struct handles *handles,
			      const struct handles_owner *owner,
			      struct kept_room *room);
void handle_state_write_holding(struct handles *handles,
				struct holding *holding,
				struct kept_room *room);

/* The same for a shared handle that is there, and no longer ends idle. */
int handle_state_take_again(struct handles *handles, const struct handle *copy,
			    struct kept_room *room);
void handle_state_write_again(struct handles *handles, struct handle *handle,
			      struct kept_room *room);

/* Under the lock: the records end. Then, without it: the pins. */
void handle_state_end(const struct handles *handles, struct handle *handle);
void handle_state_end_holding(const struct handles *handles,
			      struct holding *holding);
void handle_state_unpin(const struct handles *handles,
			const struct handle *handle);

/*
 * From now on handles end here, and stay in the folder. False: they are not
 * kept.
 */
bool handle_state_leave(struct handles *handles);

/* --- handle_idle.c: shared handles out of use ---------------------------- */

void handle_idle_add(struct handles *handles, struct handle *handle);

/* Also for a handle that is not in the list. */
void handle_idle_remove(struct handles *handles, struct handle *handle);

/* Before the rest is freed; without the lock. */
void handle_idle_fini(struct handles *handles);

/* Call when the handle is used; the read lock is enough. */
static inline void handle_idle_use(struct handle *handle)
{
	if (handle->in_idle_list)
		atomic_store_explicit(&handle->used, clock_ms(),
				      memory_order_relaxed);
}

/* --- handle_audit.c: audit events of handles ----------------------------- */

/*
 * Call without the lock, with a copy of the handle: others may end the handle
 * itself. The caller has a reference to its object.
 */
void handle_audit_begins(const char *event, const struct handle *handle,
			 const struct handles_owner *owner);

/* Under the lock, before the holdings are freed: records owner and reason. */
void handle_audit_note_end(struct handle *handle, const char *reason);

/* Without the lock. Logs event, unless NULL, and frees the record. */
void handle_audit_ends(struct handle *handle, const char *event);

#endif
