/* SPDX-License-Identifier: Apache-2.0 */
/* Reads requests in their several forms, also those that are cut short. */
#include "request.h"

/* Module, function and arguments; what is missing stays of size 0. */
static void read_mfa(struct term_items *items, struct request *request)
{
	if (term_next(items, &request->module) &&
	    term_next(items, &request->function) &&
	    !term_next(items, &request->arguments) && request->cut_short)
		request->arguments = term_rest(items);
}

static unsigned read_spawn_flags(struct term options)
{
	struct term_items items;
	struct term option, pair[2];
	unsigned flags = 0;

	if (!term_list(options, &items))
		return 0;
	while (term_next(&items, &option)) {
		if (term_is_atom(option, "link"))
			flags |= DIST_SPAWN_LINK;
		if (term_is_atom(option, "monitor") ||
		    (term_tuple_of(option, pair, 2) &&
		     term_is_atom(pair[0], "monitor")))
			flags |= DIST_SPAWN_MONITOR;
	}
	return flags;
}

static bool is_erpc(const struct term mfa[3], const char *function,
		    uint32_t arity)
{
	uint32_t n;

	return term_is_atom(mfa[0], "erpc") && term_is_atom(mfa[1], function) &&
	       term_read_uint32(mfa[2], &n) && n == arity;
}

/* False where the message is no request to spawn. */
bool request_read_spawn(const struct dist_message *message,
			struct request *request)
{
	struct term_items arguments;
	struct term mfa[3];

	if (!term_tuple_of(message->mfa, mfa, 3) || !term_is_ref(message->id) ||
	    !term_list(message->payload, &arguments))
		return false;
	request->form = REQUEST_SPAWN;
	request->to = message->from;
	request->id = message->id;
	request->spawn_flags = read_spawn_flags(message->options);
	if (is_erpc(mfa, "execute_call", 4) &&
	    (term_next(&arguments, &request->tag) || request->cut_short)) {
		request->form = REQUEST_ERPC;
		read_mfa(&arguments, request);
		return request->tag.size > 0;
	}
	if (is_erpc(mfa, "execute_cast", 3)) {
		read_mfa(&arguments, request);
	} else {
		request->module = mfa[0];
		request->function = mfa[1];
		request->arguments = message->payload;
	}
	return true;
}

/* {call | block_call, M, F, A, GroupLeader} */
bool request_read_call(struct term t, struct request *request)
{
	struct term_items items;
	struct term tag;

	if (!term_tuple(t, &items) || items.left != 5 ||
	    !term_next(&items, &tag) ||
	    !(term_is_atom(tag, "call") || term_is_atom(tag, "block_call")))
		return false;
	read_mfa(&items, request);
	return true;
}

/*
 * {'$gen_call', {Pid, Tag}, Call} | {Pid, Call}; what is called is returned
 * for the caller to look at, perhaps cut short.
 */
bool request_read_message(struct term payload, struct request *request,
			  struct term *called)
{
	struct term_items items;
	struct term first, from[2];
	uint32_t n;

	if (!term_tuple(payload, &items))
		return false;
	n = items.left;
	if (!term_next(&items, &first))
		return false;
	if (n == 3 && term_is_atom(first, "$gen_call") &&
	    term_next(&items, &first) && term_tuple_of(first, from, 2)) {
		request->form = REQUEST_GEN_CALL;
		request->to = from[0];
		request->tag = from[1];
	} else if (n == 2 && term_is_pid(first)) {
		request->form = REQUEST_EI_RPC;
		request->to = first;
	} else {
		return false;
	}
	*called = term_rest(&items);
	return true;
}

bool request_is_mfa(const struct request *request)
{
	return term_is_any_atom(request->module) &&
	       term_is_any_atom(request->function) &&
	       term_is_list(request->arguments);
}
