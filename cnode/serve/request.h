/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REQUEST_H
#define REQUEST_H

#include "dist/control.h"
#include "functions/functions.h"

enum request_form {
	REQUEST_ERPC,
	REQUEST_SPAWN,
	REQUEST_CAST,
	REQUEST_GEN_CALL,
	REQUEST_EI_RPC,
};

/* The stack frame that an exception is raised in. */
enum request_frame {
	REQUEST_FRAME_CALLED,    /* {M, F, Args, []} */
	REQUEST_FRAME_APPLY_3,   /* {erlang, apply, [M, F, Args], []} */
	REQUEST_FRAME_APPLY_FUN, /* {erlang, apply, [Fun, Args], []} */
	REQUEST_FRAME_APPLY_2,   /* {erlang, apply, 2, []} */
	REQUEST_FRAME_FUN,       /* {Fun, Args, []} */
};

/* A request: its form, its caller, and the function to call. */
struct request {
	enum request_form form;
	struct term to;  /* the pid that gets the answer */
	struct term id;  /* of the spawn request */
	struct term tag; /* Ref of erpc, Tag of a gen_server call */
	unsigned spawn_flags;
	bool bad_options; /* of the spawn request: nothing is called */
	struct term module;
	struct term function;
	struct term arguments;            /* perhaps incomplete, if cut_short */
	struct term args[CALL_MAX_ARITY]; /* the elements of arguments */
	uint32_t arity; /* above CALL_MAX_ARITY: there are more, or arguments
			   is not a list */
	bool cut_short;
	bool improper; /* the arguments of erpc's function are no proper list */
	enum request_frame frame;
	struct term fun; /* in frames that have a fun */
};

/*
 * Reads a spawn request, or a request sent as a message; false for anything
 * else. The payload of a spawn request is checked while it is read; that of a
 * message has been checked, unless it is cut short. called is set to what the
 * message asks for, which request_read_call() reads if it is a call.
 */
bool request_read_spawn(const struct control_message *message,
			struct request *request);
bool request_read_message(struct term payload, struct request *request,
			  struct term *called);
bool request_read_call(struct term called, struct request *request);

/* Sets args and arity from arguments, which must have been checked. */
void request_split(struct request *request);

/* Whether it names a module and a function, and has a list of arguments. */
bool request_is_mfa(const struct request *request);

#endif
