/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JOB_LOG_H
#define JOB_LOG_H

#include <stddef.h>

#include "loader/records.h"

/*
 * One that is too small hides the errno behind ENOSPC; the most that a kernel
 * takes before 5.2.
 */
#define JOB_LOG_SIZE ((16u << 20) - 1)

/* Zeros that take no memory until they are written; NULL: too little. */
char *job_log_new(size_t size);
void job_log_free(char *log, size_t size);

/* The bytes of a log in a buffer of that size. */
size_t job_log_length(const char *log, size_t size);

/* The last bytes of it, most at most and whole lines, as the record's data. */
void job_log_end(const char *log, size_t size, size_t most,
		 struct record *record);

#endif
