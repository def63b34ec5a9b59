/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to the loader, and how they fail:
 *
 *	{error, Posix}
 *	{error, {rejected, Posix, Program, Log :: binary()}}
 *	{error, {object, Text :: binary()}}
 *	{error, {loader, gone | killed | timeout}}
 *
 * An answer is a stranger's word: each text is bounded, and a missing or
 * malformed one means that the child did not do its work.
 */
#include "call/loading.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/posix.h"
#include "call/refusal.h"

#define TEXT_SIZE 512
#define ANSWER_MARGIN 512 /* an error, around its log */

void loading_init(struct loading *loading, enum loader_job job)
{
	memset(loading, 0, sizeof(*loading));
	loading->request.job = job;
	loading->request.records = &loading->records;
}

void loading_fini(struct loading *loading)
{
	records_free(&loading->records);
	loader_answer_free(&loading->answer);
}

void loading_add_number(struct loading *loading, enum loader_option kind,
			uint64_t number)
{
	const struct record record = { .kind = kind,
				       .fd = RECORD_NO_FD,
				       .number = number };

	records_add(&loading->records, &record);
}

void loading_add_bytes(struct loading *loading, enum loader_option kind,
		       const void *data, size_t size)
{
	const struct record record = {
		.kind = kind, .fd = RECORD_NO_FD, .data = data, .size = size
	};

	records_add(&loading->records, &record);
}

bool loading_wrong(struct call *call, const char *format, ...)
{
	static struct log_limit limit = LOG_LIMIT_INITIALIZER;
	char text[TEXT_SIZE];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	log_limited(&limit, LOG_INFO, "badarg of %s/%u for %s: %s",
		    call->function, call->arity, call->context->peer, text);
	return raise_reason(call, RAISED_BADARG);
}

/* --- Errors -------------------------------------------------------------- */

static bool write_loader_error(struct call *call, const char *how)
{
	call->returned = EIO;
	term_write_tuple(call->out, 2);
	term_write_atom(call->out, "error");
	term_write_tuple(call->out, 2);
	term_write_atom(call->out, "loader");
	term_write_atom(call->out, how);
	return true;
}

bool loading_lied(struct call *call, const char *how)
{
	static struct log_limit limit = LOG_LIMIT_INITIALIZER;

	log_limited(&limit, LOG_WARNING,
		    "%s/%u for %s: the loader's child did not do as it was "
		    "told, and what it made was closed: %s",
		    call->function, call->arity, call->context->peer, how);
	return write_loader_error(call, "killed");
}

/* Those of the kernel are positive and small. */
static int errno_of(const struct record *record)
{
	return record->number > 0 && record->number < STATS_RAISED
		       ? (int)record->number
		       : EPROTO;
}

static const char *name_of(const struct record *record)
{
	return record->name ? record->name : "";
}

static bool write_rejected(struct call *call, const struct record *record)
{
	char name[POSIX_NAME_SIZE];

	if (!call_check_answer(call, record->size + strlen(name_of(record)) +
					     ANSWER_MARGIN))
		return false;
	call->returned = errno_of(record);
	term_write_tuple(call->out, 2);
	term_write_atom(call->out, "error");
	term_write_tuple(call->out, 4);
	term_write_atom(call->out, "rejected");
	term_write_atom(call->out, posix_name(errno_of(record), name));
	term_write_binary(call->out, name_of(record), strlen(name_of(record)));
	term_write_binary(call->out, record->data, record->size);
	return true;
}

static bool write_object_error(struct call *call, const struct record *record)
{
	if (!call_check_answer(call, record->size + ANSWER_MARGIN))
		return false;
	call->returned = EINVAL;
	term_write_tuple(call->out, 2);
	term_write_atom(call->out, "error");
	term_write_tuple(call->out, 2);
	term_write_atom(call->out, "object");
	term_write_binary(call->out, record->data, record->size);
	return true;
}

/* With a text it is a type that --programs does not allow. */
static bool write_errno(struct call *call, const struct record *record)
{
	return record->number == EACCES && record->size > 0
		       ? refusal_raise(call, REFUSAL_PROGRAM_TYPE,
				       name_of(record))
		       : call_write_error(call, -errno_of(record));
}

static bool raise_badarg(struct call *call, const struct record *record)
{
	size_t most = TEXT_SIZE / 2;

	return loading_wrong(
		call, "%.*s", (int)(record->size < most ? record->size : most),
		record->size > 0 ? (const char *)record->data : "");
}

static const struct {
	enum loader_result kind;
	bool (*write)(struct call *call, const struct record *record);
} errors[] = {
	{ LOADER_R_ERRNO, write_errno },
	{ LOADER_R_REJECTED, write_rejected },
	{ LOADER_R_OBJECT, write_object_error },
	{ LOADER_R_BADARG, raise_badarg },
};

bool loading_next(const struct loading *loading, size_t *at,
		  struct record *record)
{
	return records_next(loading->answer.bytes, loading->answer.size, at,
			    record);
}

static bool is_error(uint32_t kind, size_t *row)
{
	for (*row = 0; *row < sizeof(errors) / sizeof(errors[0]); ++*row)
		if ((uint32_t)errors[*row].kind == kind)
			return true;
	return false;
}

/* The error in an answer, if there is one. */
static bool read_errors(struct call *call, const struct loading *loading,
			bool *done)
{
	struct record record;
	size_t at = 0, row;

	while (loading_next(loading, &at, &record)) {
		if (!is_error(record.kind, &row))
			continue;
		*done = true;
		return errors[row].write(call, &record);
	}
	*done = at == SIZE_MAX; /* no records */
	return !*done || write_loader_error(call, "killed");
}

bool loading_ask(struct call *call, struct loading *loading, bool *done)
{
	struct call_context *context = call->context;
	struct loader_request *request = &loading->request;

	*done = true;
	loading_add_number(loading, LOADER_O_TYPES,
			   context->common->program_words);
	request->node = context->peer;
	request->stopped = context->stopped;
	request->account = context->account;
	switch (loader_ask(context->common->loader, request,
			   &loading->answer)) {
	case LOADER_ANSWERED:
		return read_errors(call, loading, done);
	case LOADER_GONE:
		return write_loader_error(call, "gone");
	case LOADER_KILLED:
		return write_loader_error(call, "killed");
	case LOADER_TIMEOUT:
		return write_loader_error(call, "timeout");
	case LOADER_BUSY:
		return call_write_error(call, -EBUSY);
	case LOADER_CANCELED:
		return raise_errno(call, -ECANCELED);
	case LOADER_NO_MEMORY:
		break;
	}
	return raise_no_memory(call);
}
