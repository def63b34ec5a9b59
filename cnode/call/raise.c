/* SPDX-License-Identifier: Apache-2.0 */
/* Exceptions: raising them, writing them as terms, counting them. */
#include "call/raise.h"

#include <errno.h>

#include "base/budget.h"
#include "base/log.h"
#include "call/call.h"

/* Any function may exceed --max-message, so it is logged here. */
static void log_too_big(const struct call *call)
{
	static struct log_limit limit = LOG_LIMIT_OF("refused", "max_message");

	log_limited(&limit, LOG_WARNING,
		    "refused %s/%u to %s: the answer is longer than "
		    "--max-message %zu",
		    call->function, call->arity, call->context->peer,
		    call->context->common->max_message);
}

bool raise_reason(struct call *call, enum raised_reason reason)
{
	if (reason == RAISED_TOO_BIG)
		log_too_big(call);
	call->raised = (struct raised){ .reason = reason };
	return false;
}

bool raise_term(struct call *call, enum raised_reason reason, struct term term)
{
	call->raised = (struct raised){ .reason = reason, .term = term };
	return false;
}

bool raise_errno(struct call *call, int error)
{
	call->raised =
		(struct raised){ .reason = RAISED_ERRNO, .error = -error };
	return false;
}

bool raise_done(struct call *call, int error, uint64_t done)
{
	call->raised = (struct raised){ .reason = RAISED_ERRNO_DONE,
					.error = -error,
					.done = done };
	return false;
}

bool raise_no_memory(struct call *call)
{
	static struct log_limit limit = LOG_LIMIT_OF("refused", "max_memory");
	const struct account *account = call->context->account;

	if (account && account->refused > 0)
		log_limited(&limit, LOG_WARNING,
			    "refused %s/%u to %s: it needs %zu bytes, more "
			    "than are left of --max-memory %zu",
			    call->function ? call->function : "?", call->arity,
			    call->context->peer, account->refused,
			    account->budget->max);
	return raise_errno(call, -ENOMEM);
}

/* --- As a term ----------------------------------------------------------- */

static const char *const reasons[] = {
	[RAISED_NOTHING] = "normal",        [RAISED_UNDEF] = "undef",
	[RAISED_BADARG] = "badarg",         [RAISED_BADKEY] = "badkey",
	[RAISED_BADMAP] = "badmap",         [RAISED_BADLINK] = "badlink",
	[RAISED_BADPROGRAM] = "badprogram", [RAISED_KEYEXISTS] = "keyexists",
	[RAISED_TOO_BIG] = "too_big",       [RAISED_AMBIGUOUS] = "ambiguous",
	[RAISED_BADFUN] = "badfun",         [RAISED_BADARITY] = "badarity",
	[RAISED_BADMEMBER] = "badmember",   [RAISED_NOTYPE] = "notype",
	[RAISED_UNFOLDED] = "unfolded",
};

static bool is_errno(const struct raised *raised)
{
	return raised->reason == RAISED_ERRNO ||
	       raised->reason == RAISED_ERRNO_DONE;
}

static const char *reason_name(const struct raised *raised, char *buffer)
{
	return is_errno(raised) ? posix_name(raised->error, buffer)
				: reasons[raised->reason];
}

void raise_write_reason(const struct call *call, struct term_writer *w)
{
	const struct raised *raised = &call->raised;
	char buffer[POSIX_NAME_SIZE];
	const char *name = reason_name(raised, buffer);

	switch (raised->reason) {
	case RAISED_BADKEY:
	case RAISED_BADMAP:
	case RAISED_BADPROGRAM:
	case RAISED_BADLINK:
	case RAISED_KEYEXISTS:
	case RAISED_BADFUN:
	case RAISED_BADMEMBER:
		term_write_tuple(w, 2);
		term_write_atom(w, name);
		term_write_term(w, raised->term);
		break;
	case RAISED_BADARITY:
		term_write_tuple(w, 2);
		term_write_atom(w, name);
		term_write_tuple(w, 2);
		term_write_term(w, raised->term);
		break;
	case RAISED_TOO_BIG:
		term_write_tuple(w, 2);
		term_write_atom(w, name);
		term_write_uint(w, call->context->common->max_message);
		break;
	case RAISED_ERRNO_DONE:
		term_write_tuple(w, 2);
		term_write_atom(w, name);
		term_write_uint(w, raised->done);
		break;
	default:
		term_write_atom(w, name);
		break;
	}
}

/* --- Counts ------------------------------------------------------------- */

static int counted_as(const struct raised *raised)
{
	return is_errno(raised) ? raised->error
				: STATS_RAISED + (int)raised->reason;
}

void raise_count(const struct call *call)
{
	const struct raised *raised = &call->raised;
	int error = raised->reason == RAISED_NOTHING ? call->returned
						     : counted_as(raised);

	if (error > 0)
		stats_add_error(call->context->stats, error);
}

const char *raise_error_name(size_t i, char buffer[POSIX_NAME_SIZE])
{
	if (i < STATS_RAISED)
		return posix_name(i > 0 ? (int)i : POSIX_ENOTSUPP, buffer);
	i -= STATS_RAISED;
	return i < sizeof(reasons) / sizeof(reasons[0]) ? reasons[i] : NULL;
}
