/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JOB_ERRORS_H
#define JOB_ERRORS_H

#include <stdbool.h>
#include <stdint.h>

#include "loader/jobs.h"

/*
 * How a job fails. Each of these adds the record that says so, and is false:
 * for its caller to return.
 */

/* The kernel's errno, or one of the same meaning: positive. */
bool job_errors_posix(struct job_answer *answer, int error);

/* The request is wrong, or what it asks of the object. */
__attribute__((format(printf, 2, 3))) bool
job_errors_badarg(struct job_answer *answer, const char *format, ...);
__attribute__((format(printf, 2, 3))) bool
job_errors_object(struct job_answer *answer, const char *format, ...);

/* A type of program or map that --programs does not allow: EACCES. */
bool job_errors_denied(struct job_answer *answer, const char *name,
		       const char *what);

/* From here on libbpf's warnings are kept, the last of them. */
void job_errors_listen(void);

/* What libbpf could not do, in its words; program: NULL, or of which. */
bool job_errors_libbpf(struct job_answer *answer, int error);

/*
 * The kernel took no program: with its verifier's log, the end of it. Without
 * a log it is the kernel's errno alone where a capability or a feature is
 * missing.
 */
bool job_errors_rejected(struct job_answer *answer, int error, const char *name,
			 const char *log, size_t size);

/* The program that libbpf told to have been refused; NULL: none. */
const char *job_errors_refused(void);

#endif
