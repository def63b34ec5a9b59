/* SPDX-License-Identifier: Apache-2.0 */
/*
 * handle -> map and owners. A reference names a place in a table and carries
 * 64 random bits that must be those of the handle now in that place:
 *
 *	n[0] place   n[1], n[2] random
 *
 * That an owner holds a handle is a holding: it stands in the list of the
 * handle and in that of the owner, and with the last one the handle ends. All
 * handles of one kernel map are in one chain, by its id.
 *
 * One lock for all of it; no system call is made under it but close(2).
 */
#include "handles.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/random.h>

#include "clock.h"
#include "log.h"
#include "quotas.h"

#define REF_WORDS 3
#define FIRST_PLACES 64
#define NO_PLACE UINT32_MAX
#define CHAINS 1024

struct holding {
	uint32_t place;
	struct handles_owner *owner;
	LIST_ENTRY(holding) of_owner;
	LIST_ENTRY(holding) of_handle;
};

LIST_HEAD(holding_list, holding);

struct handle {
	struct map *map; /* NULL: the place is free */
	struct holding_list holdings;
	enum handles_lifetime lifetime;
	bool shared;         /* who comes upon its map holds it too */
	struct quota *maker; /* HANDLES_PERMANENT: whom it counts for */
	char *process;       /* HANDLES_PROCESS: an encoded pid */
	size_t process_size;
	uint32_t random[2];
	uint32_t next; /* in the chain of its id, or of the free places */
};

struct handles_owner {
	char name[MAXATOMLEN_UTF8];
	uint32_t creation;
	struct quota *quota;
	unsigned connections;
	bool ended;       /* another incarnation has come */
	int64_t deadline; /* while there are no connections: ms */
	struct holding_list holdings;
	LIST_ENTRY(handles_owner) others;
};

struct handles {
	pthread_rwlock_t lock;
	char node[MAXATOMLEN_UTF8];
	uint32_t creation;
	uint32_t max;
	uint32_t max_per_node;
	int64_t grace; /* ms */
	struct quotas quotas;
	struct handle *table;
	uint32_t places;
	uint32_t used;
	uint32_t first_free;
	uint32_t chains[CHAINS];
	LIST_HEAD(owner_list, handles_owner) owners;
};

/* By default who writes waits until nobody reads: with many, for ever. */
static void init_lock(pthread_rwlock_t *lock)
{
	pthread_rwlockattr_t attributes;

	pthread_rwlockattr_init(&attributes);
	pthread_rwlockattr_setkind_np(
		&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(lock, &attributes);
	pthread_rwlockattr_destroy(&attributes);
}

struct handles *handles_new(const char *node, uint32_t creation,
			    const struct handles_limits *limits)
{
	struct handles *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	init_lock(&h->lock);
	strncpy(h->node, node, sizeof(h->node) - 1);
	h->creation = creation;
	h->max = limits->max;
	h->max_per_node = limits->max_per_node;
	h->grace = (int64_t)limits->grace * 1000;
	LIST_INIT(&h->quotas);
	h->first_free = NO_PLACE;
	for (size_t i = 0; i < CHAINS; i++)
		h->chains[i] = NO_PLACE;
	LIST_INIT(&h->owners);
	return h;
}

/* --- The table ---------------------------------------------------------- */

/* Lists of holdings have a pointer back into their handle: it moves with it. */
static void relink(struct handle *handle)
{
	struct holding *first = LIST_FIRST(&handle->holdings);

	if (first)
		first->of_handle.le_prev = &handle->holdings.lh_first;
}

static int grow(struct handles *h)
{
	uint32_t places = h->places ? h->places * 2 : FIRST_PLACES;
	struct handle *table;

	if (places > h->max)
		places = h->max;
	table = realloc(h->table, places * sizeof(*table));
	if (!table)
		return -ENOMEM;
	for (uint32_t i = 0; i < h->places; i++)
		relink(&table[i]);
	for (uint32_t i = places; i-- > h->places;) {
		table[i] = (struct handle){ .next = h->first_free };
		h->first_free = i;
	}
	h->table = table;
	h->places = places;
	return 0;
}

static uint32_t *chain_of(struct handles *h, const struct map *map)
{
	return &h->chains[map->id % CHAINS];
}

static void unchain(struct handles *h, uint32_t place)
{
	uint32_t *at = chain_of(h, h->table[place].map);

	while (*at != place)
		at = &h->table[*at].next;
	*at = h->table[place].next;
}

static void free_holding(struct holding *holding)
{
	LIST_REMOVE(holding, of_handle);
	LIST_REMOVE(holding, of_owner);
	holding->owner->quota->handles--;
	free(holding);
}

/* The map, for the caller to unref. */
static struct map *release(struct handles *h, uint32_t place)
{
	struct handle *handle = &h->table[place];
	struct map *map = handle->map;
	struct holding *holding;

	while ((holding = LIST_FIRST(&handle->holdings)))
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): as below */
		free_holding(holding);
	if (handle->maker)
		handle->maker->handles--;
	quotas_close(handle->maker);
	unchain(h, place);
	free(handle->process);
	*handle = (struct handle){ .next = h->first_free };
	h->first_free = place;
	h->used--;
	return map;
}

static struct handle *find(struct handles *h, const erlang_ref *ref)
{
	struct handle *handle;

	if (ref->len != REF_WORDS || ref->creation != h->creation ||
	    ref->n[0] >= h->places || strcmp(ref->node, h->node) != 0)
		return NULL;
	handle = &h->table[ref->n[0]];
	if (!handle->map || handle->random[0] != ref->n[1] ||
	    handle->random[1] != ref->n[2])
		return NULL;
	return handle;
}

static void make_ref(const struct handles *h, uint32_t place, erlang_ref *ref)
{
	memset(ref, 0, sizeof(*ref));
	memcpy(ref->node, h->node, sizeof(ref->node));
	ref->creation = h->creation;
	ref->len = REF_WORDS;
	ref->n[0] = place;
	ref->n[1] = h->table[place].random[0];
	ref->n[2] = h->table[place].random[1];
}

enum room {
	ROOM_FOR_MORE,
	ROOM_NOT_FOR_NODE,
	ROOM_NOT_FOR_ANY,
};

static enum room room(const struct handles *h,
		      const struct handles_owner *owner)
{
	if (h->used >= h->max)
		return ROOM_NOT_FOR_ANY;
	return owner->quota->handles < h->max_per_node ? ROOM_FOR_MORE
						       : ROOM_NOT_FOR_NODE;
}

uint32_t handles_count(struct handles *h)
{
	uint32_t count;

	pthread_rwlock_rdlock(&h->lock);
	count = h->used;
	pthread_rwlock_unlock(&h->lock);
	return count;
}

/* To be called without the lock: a log may be slow. 0 or -EMFILE. */
static int tell(const struct handles *h, const struct handles_owner *owner,
		enum room room)
{
	static struct log_limit any = LOG_LIMIT_INITIALIZER,
				node = LOG_LIMIT_INITIALIZER;

	if (room == ROOM_NOT_FOR_ANY)
		log_limited(&any, LOG_WARNING,
			    "refused %s a map: there are --max-maps %u already",
			    owner->name, h->max);
	else if (room == ROOM_NOT_FOR_NODE)
		log_limited(&node, LOG_WARNING,
			    "refused %s a map: it has --max-maps-per-node %u "
			    "already",
			    owner->name, h->max_per_node);
	return room == ROOM_FOR_MORE ? 0 : -EMFILE;
}

int handles_check_room(struct handles *h, const struct handles_owner *owner)
{
	enum room found;

	pthread_rwlock_rdlock(&h->lock);
	found = room(h, owner);
	pthread_rwlock_unlock(&h->lock);
	return tell(h, owner, found);
}

/* --- Adding ------------------------------------------------------------- */

static int hold(struct handles *h, struct handles_owner *owner, uint32_t place)
{
	struct holding *holding = calloc(1, sizeof(*holding));

	if (!holding)
		return -ENOMEM;
	holding->place = place;
	holding->owner = owner;
	LIST_INSERT_HEAD(&owner->holdings, holding, of_owner);
	LIST_INSERT_HEAD(&h->table[place].holdings, holding, of_handle);
	owner->quota->handles++;
	return 0;
}

/* The handle takes its place, and what new points to with it. */
static int add(struct handles *h, struct handles_owner *owner,
	       const struct handle *new, uint32_t *place)
{
	int error = owner->ended ? -ESTALE : 0;

	if (error == 0 && h->first_free == NO_PLACE)
		error = grow(h);
	if (error < 0)
		return error;
	*place = h->first_free;
	h->first_free = h->table[*place].next;
	h->table[*place] = *new;
	LIST_INIT(&h->table[*place].holdings);
	h->table[*place].next = *chain_of(h, new->map);
	*chain_of(h, new->map) = *place;
	h->used++;
	if (new->lifetime == HANDLES_PERMANENT) {
		h->table[*place].maker = quotas_ref(owner->quota);
		owner->quota->handles++;
		return 0;
	}
	error = hold(h, owner, *place);
	if (error < 0) {
		h->table[*place].process = NULL; /* both are the caller's yet */
		release(h, *place);
	}
	return error;
}

static int add_locked(struct handles *h, struct handles_owner *owner,
		      struct handle *new, erlang_ref *ref)
{
	uint32_t place = 0;
	enum room found;
	int error = 0;

	if (getrandom(new->random, sizeof(new->random), 0) !=
	    sizeof(new->random))
		return -EIO;
	pthread_rwlock_wrlock(&h->lock);
	found = room(h, owner);
	if (found == ROOM_FOR_MORE)
		error = add(h, owner, new, &place);
	if (found == ROOM_FOR_MORE && error == 0)
		make_ref(h, place, ref);
	pthread_rwlock_unlock(&h->lock);
	return found == ROOM_FOR_MORE ? error : tell(h, owner, found);
}

int handles_add(struct handles *h, struct handles_owner *owner, struct map *map,
		const struct handles_term *term, erlang_ref *ref)
{
	struct handle new = { .map = map, .lifetime = term->lifetime };
	int error;

	if (term->lifetime == HANDLES_PROCESS) {
		new.process = malloc(term->process_size);
		new.process_size = term->process_size;
		if (!new.process)
			return -ENOMEM;
		memcpy(new.process, term->process, term->process_size);
	}
	error = add_locked(h, owner, &new, ref);
	if (error < 0)
		free(new.process);
	return error;
}

static void drop(struct handles *h, const erlang_ref *ref)
{
	struct map *map = NULL;

	pthread_rwlock_wrlock(&h->lock);
	if (find(h, ref))
		map = release(h, ref->n[0]);
	pthread_rwlock_unlock(&h->lock);
	map_unref(map);
}

/* --- Finding ------------------------------------------------------------ */

struct map *handles_get(struct handles *h, const erlang_ref *ref)
{
	struct map *map = NULL;
	struct handle *handle;

	pthread_rwlock_rdlock(&h->lock);
	handle = find(h, ref);
	if (handle)
		map = map_ref(handle->map);
	pthread_rwlock_unlock(&h->lock);
	return map;
}

static bool is_held_by(const struct handle *handle,
		       const struct handles_owner *owner)
{
	const struct holding *holding;

	LIST_FOREACH(holding, &handle->holdings, of_handle)
	if (holding->owner == owner)
		return true;
	return false;
}

/* New ones go to the head of a chain: the oldest one comes last. */
static uint32_t find_id(const struct handles *h, uint32_t id)
{
	uint32_t place, oldest = NO_PLACE;

	for (place = h->chains[id % CHAINS]; place != NO_PLACE;
	     place = h->table[place].next)
		if (h->table[place].map->id == id)
			oldest = place;
	return oldest;
}

/* It takes no place more, but the node has one more. */
static int share(struct handles *h, struct handles_owner *owner, uint32_t place,
		 enum room *found)
{
	if (owner->quota->handles >= h->max_per_node) {
		*found = ROOM_NOT_FOR_NODE;
		return -EMFILE;
	}
	return hold(h, owner, place);
}

int handles_find_id(struct handles *h, struct handles_owner *owner, uint32_t id,
		    erlang_ref *ref)
{
	enum room found = ROOM_FOR_MORE;
	struct handle *handle;
	uint32_t place;
	int error = 0;

	pthread_rwlock_wrlock(&h->lock);
	place = find_id(h, id);
	if (place == NO_PLACE) {
		error = -ENOENT;
	} else {
		handle = &h->table[place];
		if (owner->ended)
			error = -ESTALE;
		else if (handle->shared && !is_held_by(handle, owner))
			error = share(h, owner, place, &found);
		make_ref(h, place, ref);
	}
	pthread_rwlock_unlock(&h->lock);
	return found == ROOM_FOR_MORE ? error : tell(h, owner, found);
}

/* Another thread may have been quicker: then its handle is the one. */
int handles_add_shared(struct handles *h, struct handles_owner *owner,
		       struct map *map, erlang_ref *ref)
{
	struct handle new = { .map = map,
			      .lifetime = HANDLES_NODE,
			      .shared = true };
	uint32_t id = map->id;
	int error = add_locked(h, owner, &new, ref);
	erlang_ref oldest;

	if (error < 0)
		return error;
	if (handles_find_id(h, owner, id, &oldest) == 0 &&
	    memcmp(oldest.n, ref->n, sizeof(ref->n)) != 0) {
		drop(h, ref);
		*ref = oldest;
	}
	return 0;
}

static void visit_handle(struct handles *h, uint32_t place, bool owners,
			 handles_visitor visit, void *context)
{
	const struct handle *handle = &h->table[place];
	const struct holding *holding = LIST_FIRST(&handle->holdings);
	erlang_ref ref;
	struct handles_info info = {
		.map = handle->map,
		.ref = &ref,
		.lifetime = handle->lifetime,
		.process = handle->process,
		.process_size = handle->process_size,
	};

	make_ref(h, place, &ref);
	do {
		info.owner = holding ? holding->owner->name : NULL;
		visit(&info, context);
		holding = holding ? LIST_NEXT(holding, of_handle) : NULL;
	} while (holding && owners);
}

void handles_each(struct handles *h, uint32_t id, handles_visitor visit,
		  void *context)
{
	uint32_t place;

	pthread_rwlock_rdlock(&h->lock);
	if (id == 0) {
		for (place = 0; place < h->places; place++)
			if (h->table[place].map)
				visit_handle(h, place, true, visit, context);
	} else {
		for (place = h->chains[id % CHAINS]; place != NO_PLACE;
		     place = h->table[place].next)
			if (h->table[place].map->id == id)
				visit_handle(h, place, false, visit, context);
	}
	pthread_rwlock_unlock(&h->lock);
}

/* --- Ending ------------------------------------------------------------- */

int handles_close(struct handles *h, const struct handles_owner *owner,
		  const erlang_ref *ref, char **process, size_t *process_size)
{
	struct map *map = NULL;
	struct handle *handle;

	pthread_rwlock_wrlock(&h->lock);
	handle = find(h, ref);
	if (handle && handle->process && is_held_by(handle, owner)) {
		*process = handle->process;
		*process_size = handle->process_size;
		handle->process = NULL;
	}
	if (handle)
		map = release(h, ref->n[0]);
	pthread_rwlock_unlock(&h->lock);
	map_unref(map);
	return map ? 0 : -EBADF;
}

bool handles_is_others(struct handles *h, const struct handles_owner *owner,
		       const erlang_ref *ref)
{
	const struct holding *holding;
	const struct handle *handle;
	bool others = false;

	pthread_rwlock_rdlock(&h->lock);
	handle = find(h, ref);
	if (handle) {
		holding = LIST_FIRST(&handle->holdings);
		others = !holding || holding->owner != owner ||
			 LIST_NEXT(holding, of_handle);
	}
	pthread_rwlock_unlock(&h->lock);
	return others;
}

void handles_process_ended(struct handles *h, const struct handles_owner *owner,
			   const erlang_ref *ref)
{
	struct map *map = NULL;
	struct handle *handle;

	pthread_rwlock_wrlock(&h->lock);
	handle = find(h, ref);
	if (handle && handle->lifetime == HANDLES_PROCESS &&
	    is_held_by(handle, owner))
		map = release(h, ref->n[0]);
	pthread_rwlock_unlock(&h->lock);
	map_unref(map);
}

static void end_owner(struct handles *h, struct handles_owner *owner)
{
	struct holding *holding;
	uint32_t place;

	owner->ended = true;
	while ((holding = LIST_FIRST(&owner->holdings))) {
		/* the analyzer does not see that it is out of the list */
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
		place = holding->place;
		free_holding(holding);
		if (LIST_EMPTY(&h->table[place].holdings))
			map_unref(release(h, place));
	}
}

/* Those that have ended and that no connection points to any more. */
static void free_ended_owners(struct handles *h)
{
	struct handles_owner *owner = LIST_FIRST(&h->owners), *next;

	for (; owner; owner = next) {
		next = LIST_NEXT(owner, others);
		if (owner->ended && owner->connections == 0) {
			LIST_REMOVE(owner, others);
			quotas_close(owner->quota);
			free(owner);
		}
	}
}

static struct handles_owner *new_owner(struct handles *h, const char *name,
				       uint32_t creation)
{
	struct handles_owner *owner = calloc(1, sizeof(*owner));

	if (owner)
		owner->quota = quotas_open(&h->quotas, name);
	if (!owner || !owner->quota) {
		free(owner);
		return NULL;
	}
	strncpy(owner->name, name, sizeof(owner->name) - 1);
	owner->creation = creation;
	LIST_INIT(&owner->holdings);
	LIST_INSERT_HEAD(&h->owners, owner, others);
	return owner;
}

struct handles_owner *handles_owner_up(struct handles *h, const char *name,
				       uint32_t creation)
{
	struct handles_owner *owner, *same = NULL;

	pthread_rwlock_wrlock(&h->lock);
	LIST_FOREACH(owner, &h->owners, others)
	{
		if (strcmp(owner->name, name) != 0)
			continue;
		if (owner->creation != creation)
			end_owner(h, owner);
		else if (!owner->ended)
			same = owner;
	}
	if (!same)
		same = new_owner(h, name, creation);
	if (same)
		same->connections++;
	free_ended_owners(h);
	pthread_rwlock_unlock(&h->lock);
	return same;
}

void handles_owner_down(struct handles *h, struct handles_owner *owner)
{
	pthread_rwlock_wrlock(&h->lock);
	owner->connections--;
	owner->deadline = clock_ms() + h->grace;
	if (owner->connections == 0 && LIST_EMPTY(&owner->holdings))
		owner->ended = true;
	free_ended_owners(h);
	pthread_rwlock_unlock(&h->lock);
}

int handles_reap(struct handles *h)
{
	int64_t now = clock_ms(), next = -1, left;
	struct handles_owner *owner;

	pthread_rwlock_wrlock(&h->lock);
	LIST_FOREACH(owner, &h->owners, others)
	{
		if (owner->connections > 0)
			continue;
		left = owner->deadline - now;
		if (left <= 0)
			end_owner(h, owner);
		else if (next < 0 || left < next)
			next = left;
	}
	free_ended_owners(h);
	pthread_rwlock_unlock(&h->lock);
	return next > INT32_MAX ? INT32_MAX : (int)next;
}

void handles_free(struct handles *h)
{
	struct handles_owner *owner;

	if (!h)
		return;
	for (uint32_t place = 0; place < h->places; place++)
		if (h->table[place].map)
			map_unref(release(h, place));
	while ((owner = LIST_FIRST(&h->owners))) {
		LIST_REMOVE(owner, others);
		quotas_close(owner->quota);
		free(owner);
	}
	free(h->table);
	pthread_rwlock_destroy(&h->lock);
	free(h);
}
