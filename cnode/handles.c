/* SPDX-License-Identifier: Apache-2.0 */
/*
 * handle -> map and owner. A reference names a place in a table and carries 64
 * random bits that must be those of the handle now in that place:
 *
 *	n[0] place   n[1], n[2] random
 *
 * One lock for all of it; no system call is made under it but close(2).
 */
#include "handles.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "clock.h"

#define REF_WORDS 3
#define FIRST_PLACES 64
#define NO_PLACE UINT32_MAX

struct handle {
	struct map *map; /* NULL: the place is free */
	struct handles_owner *owner;
	uint32_t random[2];
	uint32_t next; /* of the owner's handles, or of the free places */
	uint32_t previous;
};

struct handles_owner {
	char name[MAXATOMLEN_UTF8];
	uint32_t creation;
	unsigned connections;
	bool ended;       /* another incarnation has come */
	uint32_t first;   /* of its handles */
	int64_t deadline; /* while there are no connections: ms */
	struct handles_owner *next;
};

struct handles {
	pthread_rwlock_t lock;
	char node[MAXATOMLEN_UTF8];
	uint32_t creation;
	uint32_t max;
	int64_t grace; /* ms */
	struct handle *table;
	uint32_t places;
	uint32_t used;
	uint32_t first_free;
	struct handles_owner *owners;
};

struct handles *handles_new(const char *node, uint32_t creation,
			    uint32_t max_handles, unsigned grace_seconds)
{
	struct handles *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	pthread_rwlock_init(&h->lock, NULL);
	strncpy(h->node, node, sizeof(h->node) - 1);
	h->creation = creation;
	h->max = max_handles;
	h->grace = (int64_t)grace_seconds * 1000;
	h->first_free = NO_PLACE;
	return h;
}

/* --- The table ---------------------------------------------------------- */

static int grow(struct handles *h)
{
	uint32_t places = h->places ? h->places * 2 : FIRST_PLACES;
	struct handle *table;

	if (places > h->max)
		places = h->max;
	table = realloc(h->table, places * sizeof(*table));
	if (!table)
		return -ENOMEM;
	for (uint32_t i = places; i-- > h->places;) {
		table[i] = (struct handle){ .next = h->first_free };
		h->first_free = i;
	}
	h->table = table;
	h->places = places;
	return 0;
}

static void link_to_owner(struct handles *h, uint32_t place)
{
	struct handle *handle = &h->table[place];

	handle->previous = NO_PLACE;
	handle->next = handle->owner->first;
	if (handle->next != NO_PLACE)
		h->table[handle->next].previous = place;
	handle->owner->first = place;
}

static void unlink_from_owner(struct handles *h, uint32_t place)
{
	struct handle *handle = &h->table[place];

	if (handle->previous == NO_PLACE)
		handle->owner->first = handle->next;
	else
		h->table[handle->previous].next = handle->next;
	if (handle->next != NO_PLACE)
		h->table[handle->next].previous = handle->previous;
}

/* The map, for the caller to unref when the lock is released. */
static struct map *release(struct handles *h, uint32_t place)
{
	struct map *map = h->table[place].map;

	unlink_from_owner(h, place);
	h->table[place] = (struct handle){ .next = h->first_free };
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

static int room(const struct handles *h)
{
	return h->used < h->max ? 0 : -EMFILE;
}

int handles_check_room(struct handles *h)
{
	int error;

	pthread_rwlock_rdlock(&h->lock);
	error = room(h);
	pthread_rwlock_unlock(&h->lock);
	return error;
}

static int add(struct handles *h, struct handles_owner *owner, struct map *map,
	       const uint32_t random[2], uint32_t *place)
{
	int error = owner->ended ? -ESTALE : room(h);

	if (error == 0 && h->first_free == NO_PLACE)
		error = grow(h);
	if (error < 0)
		return error;
	*place = h->first_free;
	h->first_free = h->table[*place].next;
	h->table[*place] = (struct handle){
		.map = map,
		.owner = owner,
		.random = { random[0], random[1] },
	};
	link_to_owner(h, *place);
	h->used++;
	return 0;
}

int handles_add(struct handles *h, struct handles_owner *owner, struct map *map,
		erlang_ref *ref)
{
	uint32_t random[2], place = 0;
	int error;

	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return -EIO;
	pthread_rwlock_wrlock(&h->lock);
	error = add(h, owner, map, random, &place);
	pthread_rwlock_unlock(&h->lock);
	if (error < 0)
		return error;
	memset(ref, 0, sizeof(*ref));
	memcpy(ref->node, h->node, sizeof(ref->node));
	ref->creation = h->creation;
	ref->len = REF_WORDS;
	ref->n[0] = place;
	ref->n[1] = random[0];
	ref->n[2] = random[1];
	return 0;
}

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

int handles_close(struct handles *h, const erlang_ref *ref)
{
	struct map *map = NULL;
	struct handle *handle;

	pthread_rwlock_wrlock(&h->lock);
	handle = find(h, ref);
	if (handle)
		map = release(h, ref->n[0]);
	pthread_rwlock_unlock(&h->lock);
	map_unref(map);
	return map ? 0 : -EBADF;
}

/* --- Owners ------------------------------------------------------------- */

static void end_owner(struct handles *h, struct handles_owner *owner)
{
	owner->ended = true;
	while (owner->first != NO_PLACE)
		map_unref(release(h, owner->first));
}

/* Those that have ended and that no connection points to any more. */
static void free_ended_owners(struct handles *h)
{
	struct handles_owner **at = &h->owners, *owner;

	while ((owner = *at)) {
		if (owner->ended && owner->connections == 0) {
			*at = owner->next;
			free(owner);
		} else {
			at = &owner->next;
		}
	}
}

static struct handles_owner *new_owner(struct handles *h, const char *name,
				       uint32_t creation)
{
	struct handles_owner *owner = calloc(1, sizeof(*owner));

	if (!owner)
		return NULL;
	strncpy(owner->name, name, sizeof(owner->name) - 1);
	owner->creation = creation;
	owner->first = NO_PLACE;
	owner->next = h->owners;
	h->owners = owner;
	return owner;
}

struct handles_owner *handles_owner_up(struct handles *h, const char *name,
				       uint32_t creation)
{
	struct handles_owner *owner, *same = NULL;

	pthread_rwlock_wrlock(&h->lock);
	for (owner = h->owners; owner; owner = owner->next) {
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
	if (owner->connections == 0 && owner->first == NO_PLACE)
		owner->ended = true;
	free_ended_owners(h);
	pthread_rwlock_unlock(&h->lock);
}

int handles_reap(struct handles *h)
{
	int64_t now = clock_ms(), next = -1, left;
	struct handles_owner *owner;

	pthread_rwlock_wrlock(&h->lock);
	for (owner = h->owners; owner; owner = owner->next) {
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
	while ((owner = h->owners)) {
		end_owner(h, owner);
		h->owners = owner->next;
		free(owner);
	}
	free(h->table);
	pthread_rwlock_destroy(&h->lock);
	free(h);
}
