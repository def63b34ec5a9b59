/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAISE_H
#define RAISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/posix.h"
#include "term/term.h"

struct call;

enum raised_reason {
	RAISED_NOTHING,
	RAISED_UNDEF,
	RAISED_BADARG,
	RAISED_BADKEY,     /* {badkey, term} */
	RAISED_BADMAP,     /* {badmap, term} */
	RAISED_BADPROGRAM, /* {badprogram, term} */
	RAISED_BADLINK,    /* {badlink, term} */
	RAISED_KEYEXISTS,  /* {keyexists, term} */
	RAISED_TOO_BIG,    /* {too_big, max_message} */
	RAISED_ERRNO,      /* error as an atom */
	RAISED_ERRNO_DONE, /* {error as an atom, done} */
	RAISED_AMBIGUOUS,  /* open returns {error, ambiguous} instead */
	RAISED_BADFUN,     /* {badfun, term} */
	RAISED_BADARITY,   /* {badarity, {Fun, Args}}; term is both */
	RAISED_BADMEMBER,  /* {badmember, term}; the term is a path */
	RAISED_NOTYPE,     /* most return {error, notype} instead */
	RAISED_UNFOLDED,   /* a value for each CPU where one is wanted */
};

/* An exception of class error. */
struct raised {
	enum raised_reason reason;
	struct term term;
	int error;
	uint64_t done;
};

/* Set the exception; always false. */
bool raise_reason(struct call *call, enum raised_reason reason);
bool raise_term(struct call *call, enum raised_reason reason, struct term term);
bool raise_errno(struct call *call, int error); /* -errno */
bool raise_done(struct call *call, int error, uint64_t done);
/* enomem; logs the bytes if --max-memory refused them. */
bool raise_no_memory(struct call *call);

/* Counts the exception, or the {error, Reason} that was returned. */
void raise_count(const struct call *call);

/* The name of the reason that errors[i] of struct stats counts. */
const char *raise_error_name(size_t i, char buffer[POSIX_NAME_SIZE]);

/* Writes the reason of an exception as a term. */
void raise_write_reason(const struct call *call, struct term_writer *w);

#endif
