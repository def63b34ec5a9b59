/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OBJECTS_H
#define OBJECTS_H

#include "call/call.h"
#include "call/refusal.h"

/*
 * Handles of maps, programs and links, as terms. As in call.h, a bool function
 * that returns false has set an exception.
 */

/* Whether t has the shape of such a handle. */
bool objects_is_handle(struct term t, const struct resource_kind *kind);
bool objects_read_ref(struct term t, const struct resource_kind *kind,
		      erlang_ref *ref);

/*
 * The object of a live handle, for the caller to resource_unref(). NULL:
 * {badmap, T}, {badprogram, T} or {badlink, T} is raised.
 */
struct resource *objects_read(struct call *call, struct term t,
			      const struct resource_kind *kind);
/* The same without an exception: NULL if there is none of that kind. */
struct resource *objects_try(const struct call *call, struct term t,
			     const struct resource_kind *kind);
struct resource *objects_get(const struct call *call, const erlang_ref *ref,
			     const struct resource_kind *kind);

/* The object of a live handle of any kind, or NULL without an exception. */
struct resource *objects_find(const struct call *call, struct term t);

/* Set call->program and call->link. */
bool objects_read_program(struct call *call, struct term t);
bool objects_read_link(struct call *call, struct term t);
/* Whichever it is, borrowed from call; NULL: {badprogram, T} is raised. */
struct resource *objects_read_either(struct call *call, struct term t);

/* Whether --programs allows the type of call->program; raises eacces. */
bool objects_check_type(struct call *call);

/*
 * The options [{lifetime, _}], if there is such an argument; HANDLES_NODE by
 * default.
 */
bool objects_read_lifetime(struct call *call, uint32_t place,
			   enum handles_lifetime *lifetime);

/* A program or link by its id, for CAP_SYS_ADMIN. 0 or -errno. */
int objects_open_id(const struct resource_kind *kind, uint32_t id,
		    struct resource **opened);

/* The most bytes of a handle. */
size_t objects_handle_size(const struct resource *resource);
void objects_write_handle(struct call *call, const struct resource *resource,
			  const erlang_ref *ref);

/* The type of a program or a link: its name, or else its number. */
void objects_write_type(struct call *call, const struct resource *resource);

/*
 * Makes a handle of a new object, whose reference it takes over even on
 * failure. One of HANDLES_PROCESS ends with the caller. Of a reservation it
 * uses a place; NULL: there is none. 0 or -errno.
 */
int objects_hold(struct call *call, struct resource *resource,
		 enum handles_lifetime lifetime,
		 struct handles_reservation *reservation, erlang_ref *ref);
/* The same, and writes the handle, or {error, Posix}; always true. */
bool objects_hold_and_write(struct call *call, struct resource *resource,
			    enum handles_lifetime lifetime,
			    struct handles_reservation *reservation);

/* Ends the handle, which another thread may have done already. */
void objects_end(struct call *call, struct term t,
		 const struct resource_kind *kind);

/*
 * Ends the handle, and writes ok or {error, ebadf}. A caller that has not the
 * permission to end those of others is refused with eacces.
 */
bool objects_close(struct call *call, struct term t,
		   const struct resource_kind *kind, enum permission others,
		   enum refusal refusal);

#endif
