/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HANDLES_H
#define HANDLES_H

#include <ei.h>
#include <stdint.h>

#include "map.h"

#define HANDLES_MAX (1u << 18) /* what the first word of a reference holds */

/*
 * The maps that nodes of the cluster hold, each under a reference that this
 * process made and that cannot be guessed: 64 of its bits are random. Safe to
 * use from any thread.
 */
struct handles;

/*
 * Who made a handle: one incarnation of a node, by its name and the creation
 * of its handshake. It has connections (two for a moment when one replaces
 * another) and ends when it has had none for the time of grace, or when
 * another incarnation of that name comes; its handles end with it.
 */
struct handles_owner;

/* node and creation go into the references. NULL with errno. */
struct handles *handles_new(const char *node, uint32_t creation,
			    uint32_t max_handles, unsigned grace_seconds);
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
 * A handle for map, whose reference count it takes over when it succeeds.
 * -EMFILE: there are max_handles already. -ESTALE: the owner has ended.
 */
int handles_add(struct handles *handles, struct handles_owner *owner,
		struct map *map, erlang_ref *ref);

/* Whether one more could be added, before a map is made for it. */
int handles_check_room(struct handles *handles);

/* The map of a live handle, to be given back by map_unref(); NULL for none. */
struct map *handles_get(struct handles *handles, const erlang_ref *ref);

/* Ends a handle. -EBADF where there is none. */
int handles_close(struct handles *handles, const erlang_ref *ref);

#endif
