/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests for functions that are not served here, and what they call instead:
 *
 *	erlang:apply(Fun, Args)         the function of fun M:F/A
 *	erlang:apply(M, F, Args)        that one
 *	erpc:execute_call(M, F, Args)   that one
 *	Args is not a proper list       badarg, from erlang:apply
 *
 * Local funs cannot run here, since this node has no code.
 */
#include "serve/apply.h"

#include "functions/functions.h"

static bool is_proper_list(struct term t)
{
	struct term_items items;
	struct term item;

	if (!term_list(t, &items))
		return false;
	while (term_next(&items, &item))
		;
	return term_end(&items);
}

/* Always false. */
static bool raise_at(struct request *request, enum request_frame frame,
		     struct raised *raised, enum raised_reason reason)
{
	request->frame = frame;
	raised->reason = reason;
	return false;
}

static bool raise_badfun(struct request *request, struct raised *raised)
{
	raised->term = request->fun;
	return raise_at(request, REQUEST_FRAME_APPLY_2, raised, RAISED_BADFUN);
}

static bool has_arity(const struct request *request, uint32_t arity)
{
	struct term_items items;

	return term_list(request->arguments, &items) && items.left == arity;
}

static bool apply_fun(struct request *request, struct raised *raised)
{
	struct term mfa[3];
	uint32_t arity;
	bool external;

	request->fun = request->args[0];
	request->arguments = request->args[1];
	if (!is_proper_list(request->arguments))
		return raise_at(request, REQUEST_FRAME_APPLY_FUN, raised,
				RAISED_BADARG);
	external = term_read_external_fun(request->fun, mfa, &arity);
	if (!external && !term_read_local_fun(request->fun, mfa, &arity))
		return raise_badfun(request, raised);
	if (!has_arity(request, arity)) {
		/* in the packet the arguments follow the fun */
		raised->term = (struct term){ request->fun.at,
					      request->fun.size +
						      request->arguments.size };
		return raise_at(request, REQUEST_FRAME_APPLY_2, raised,
				RAISED_BADARITY);
	}
	if (!external)
		return functions_has_module(mfa[0])
			       ? raise_badfun(request, raised)
			       : raise_at(request, REQUEST_FRAME_FUN, raised,
					  RAISED_UNDEF);
	request->module = mfa[0];
	request->function = mfa[1];
	request_split(request);
	return true;
}

static bool apply_mfa(struct request *request, struct raised *raised)
{
	request->module = request->args[0];
	request->function = request->args[1];
	request->arguments = request->args[2];
	if (!request_is_mfa(request))
		return raise_at(request, REQUEST_FRAME_APPLY_3, raised,
				RAISED_BADARG);
	request_split(request);
	return true;
}

static bool is_called(const struct request *request, const char *module,
		      const char *function)
{
	return term_is_atom(request->module, module) &&
	       term_is_atom(request->function, function);
}

bool apply_next(struct request *request, struct raised *raised)
{
	bool apply = is_called(request, "erlang", "apply");

	if (request->cut_short)
		return false;
	if (!is_proper_list(request->arguments))
		return raise_at(request, REQUEST_FRAME_APPLY_3, raised,
				RAISED_BADARG);
	if (apply && request->arity == 2)
		return apply_fun(request, raised);
	if ((apply || is_called(request, "erpc", "execute_call")) &&
	    request->arity == 3)
		return apply_mfa(request, raised);
	return false;
}
