/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads requests in each form in which Erlang nodes send them, cut short or
 * whole. The forms, and the answer that each gets:
 *
 *	erpc, rpc    SPAWN_REQUEST of {erpc, execute_call, 4}, [Ref, M, F, A]
 *	             -> exit reason {Ref, return, V} | {Ref, error, R, Stack}
 *	spawn        SPAWN_REQUEST of {M, F, length(A)}, A
 *	             -> exit reason normal | {R, Stack}
 *	casts        SPAWN_REQUEST of {erpc, execute_cast, 3}, [M, F, A]
 *	             -> exit reason normal | {{exception, {R, Stack}}, Stack}
 *	gen_server   REG_SEND to rex of {'$gen_call', {Pid, Tag}, Call}
 *	             -> {Tag, V} | {Tag, {badrpc, {'EXIT', {R, Stack}}}}
 *	ei_rpc       REG_SEND to rex of {Pid, Call}
 *	             -> {rex, V} | {rex, {badrpc, {'EXIT', {R, Stack}}}}
 *	             Call = {call | block_call, M, F, A, GroupLeader}
 *	sbcast       REG_SEND to rex of {Pid, {sbcast, Name, Message}}
 *	             -> {rex, node(), {nonexisting_name, Name}}
 *	ping         REG_SEND to net_kernel of
 *	             {'$gen_call', {Pid, Tag}, {is_auth, Node}} -> {Tag, yes}
 *
 * A fun M:F/A comes as erlang:apply(Fun, A): apply.c. A request to spawn with
 * wrong options is answered by SPAWN_REPLY with badopt: spawn_options.c.
 */
#include "serve/request.h"

#include <string.h>

#include "serve/spawn_options.h"

#define SMALL_END ((int64_t)1 << 59) /* Erlang's first big integer */

/*
 * Checks the rest of a payload, which is checked as it is read. Notes whether
 * it is an improper list.
 */
static bool finish(struct term_items *items, struct request *request)
{
	struct term rest, skipped;

	while (term_next(items, &skipped))
		;
	rest = term_rest(items);
	if (items->left > 0)
		return false;
	request->improper = !term_end(items);
	return items->list
		       ? term_check(rest.at, rest.size) == (ssize_t)rest.size
		       : rest.size == 0;
}

/* Opens a list of arguments; false: it is too long for any function. */
static bool open_arguments(struct term t, struct term_items *items)
{
	return term_list(t, items) && items->left <= CALL_MAX_ARITY;
}

static uint32_t read_each(struct term_items *items, struct request *request)
{
	return term_next_some(items, request->args, CALL_MAX_ARITY);
}

/*
 * Checks and splits, in one pass, arguments that are the last element of their
 * list, as in nearly every request: the ends of both lists must follow. False:
 * they are not; nothing was changed that matters.
 */
static bool read_last_arguments(const struct term_items *items,
				struct request *request)
{
	struct term rest = term_rest(items);
	struct term_items arguments;
	uint32_t n;

	if (items->left != 1 || !items->list ||
	    !open_arguments(rest, &arguments) || !arguments.list)
		return false;
	arguments.unchecked = true;
	n = read_each(&arguments, request);
	if (arguments.left > 0 || arguments.end - arguments.pos != 2 ||
	    arguments.pos[0] != ERL_NIL_EXT || arguments.pos[1] != ERL_NIL_EXT)
		return false;
	request->arguments = (struct term){ rest.at, rest.size - 1 };
	request->arity = n;
	return true;
}

void request_split(struct request *request)
{
	struct term_items items;
	uint32_t n;

	request->arity = CALL_MAX_ARITY + 1;
	if (!open_arguments(request->arguments, &items))
		return;
	n = read_each(&items, request);
	if (term_end(&items))
		request->arity = n;
}

/*
 * Reads a tag, if there is one, then module, function and arguments; missing
 * ones are left with size 0. False: something is malformed.
 */
static bool read_mfa(struct term_items *items, struct term *tag,
		     struct request *request)
{
	struct term head[3] = { { .at = NULL } };
	struct term *mfa = tag ? head + 1 : head;
	uint32_t wanted = tag ? 3 : 2;
	uint32_t n = term_next_some(items, head, wanted);

	if (tag)
		*tag = head[0];
	request->module = mfa[0];
	request->function = mfa[1];
	if (n == wanted) {
		if (items->unchecked && !request->cut_short &&
		    read_last_arguments(items, request))
			return true;
		if (term_next(items, &request->arguments))
			request_split(request);
		else if (request->cut_short)
			request->arguments = term_rest(items);
	}
	return request->cut_short || !items->unchecked ||
	       finish(items, request);
}

/* Whether Erlang would store the integer as a small one; its value is unused.
 */
static bool is_small(struct term t)
{
	char bytes[8];
	int64_t value;

	if (!term_read_bytes(t, bytes, sizeof(bytes)))
		return false;
	memcpy(&value, bytes, sizeof(value));
	return value >= -SMALL_END && value < SMALL_END;
}

/* {erpc, Name, Arity}; the caller counts the arguments. */
static bool is_erpc(struct term mfa, const char *name)
{
	struct term elements[3];

	return term_tuple_of(mfa, elements, 3) &&
	       term_is_atom(elements[0], "erpc") &&
	       term_is_atom(elements[1], name) && is_small(elements[2]);
}

/* Compares with the encoding that OTP nodes send before parsing it. */
static bool is_execute_call(struct term mfa)
{
	static const char usual[] = "h\3"
				    "w\4erpc"
				    "w\14execute_call"
				    "a\4";
	const size_t size = sizeof(usual) - 1;

	return (mfa.size == size && memcmp(mfa.at, usual, size) == 0) ||
	       is_erpc(mfa, "execute_call");
}

/*
 * A process that runs a function not of erpc: {M, F, Arity} and A. The length
 * of A is the arity; Arity is ignored.
 */
static bool read_plain_spawn(const struct control_message *message,
			     struct request *request)
{
	struct term mfa[3];

	if (!term_tuple_of(message->mfa, mfa, 3) || !term_is_any_atom(mfa[0]) ||
	    !term_is_any_atom(mfa[1]) || !is_small(mfa[2]))
		return false;
	request->form = REQUEST_SPAWN;
	request->module = mfa[0];
	request->function = mfa[1];
	request->arguments = message->payload;
	if (request->cut_short)
		return term_is_list(message->payload);
	if (term_check(message->payload.at, message->payload.size) !=
	    (ssize_t)message->payload.size)
		return false;
	request_split(request);
	return true;
}

/* Whether it runs a function of erpc: [Ref, M, F, A] or [M, F, A]. */
static bool is_erpc_spawn(const struct control_message *message, uint32_t n,
			  struct request *request)
{
	if (n == 4 && is_execute_call(message->mfa))
		request->form = REQUEST_ERPC;
	else if (n == 3 && is_erpc(message->mfa, "execute_cast"))
		request->form = REQUEST_CAST;
	else
		return false;
	return true;
}

bool request_read_spawn(const struct control_message *message,
			struct request *request)
{
	struct term_items items;

	if (!term_is_ref(message->id))
		return false;
	request->to = message->from;
	request->id = message->id;
	request->bad_options =
		!spawn_options_read(message->options, &request->spawn_flags);
	if (!term_list(message->payload, &items) ||
	    !is_erpc_spawn(message, items.left, request))
		return read_plain_spawn(message, request);
	items.unchecked = true;
	if (!read_mfa(&items,
		      request->form == REQUEST_ERPC ? &request->tag : NULL,
		      request))
		return false;
	if (request->improper)
		return read_plain_spawn(message, request);
	return request->form == REQUEST_CAST || request->tag.size > 0;
}

/* {call | block_call, M, F, A, GroupLeader} */
bool request_read_call(struct term t, struct request *request)
{
	struct term_items items;
	struct term tag;

	if (!term_tuple(t, &items) || items.left != 5)
		return false;
	items.unchecked = request->cut_short;
	return read_mfa(&items, &tag, request) &&
	       (term_is_atom(tag, "call") || term_is_atom(tag, "block_call"));
}

/*
 * {'$gen_call', {Pid, Tag}, Call} | {Pid, Call}; called is Call, perhaps cut
 * short.
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
	items.unchecked = request->cut_short;
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
