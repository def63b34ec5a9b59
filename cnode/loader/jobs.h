/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JOBS_H
#define JOBS_H

#include <stddef.h>
#include <stdint.h>

#include "loader/loader_protocol.h"
#include "loader/records.h"

struct perf_event_attr;

/*
 * The jobs of a child of the loader. They run in a process that holds nothing
 * but its request and ends behind them, so what they allocate and open need not
 * be released.
 */
struct job {
	uint32_t words; /* of --programs */
	const char *records;
	size_t records_size;
	const void *object;
	size_t object_size;
	const int *fds; /* those of the request, without the memfd */
	unsigned fd_count;
	int lock; /* LOADER_KEEP: of all keepers */
};

/* Records of enum loader_result, and the descriptors that they name. */
struct job_answer {
	struct records records;
	int fds[LOADER_MAX_ANSWER_FDS];
	unsigned fd_count;
};

/* Adds a record with a descriptor; -1: without. Too many fail the answer. */
void job_answer_add(struct job_answer *answer, const struct record *record,
		    int fd);

/* Without all that was added: of what failed half of the way. */
void job_answer_drop(struct job_answer *answer);

/*
 * Gives up the capabilities that these programs do not need: a set of
 * 1 << enum program_capability. Call between opening an object and loading it.
 * 0 or -errno.
 */
int job_narrow(uint32_t needs);

/* A perf event of a processor, whatever runs there. A descriptor or -errno. */
int job_open_event(struct perf_event_attr *attributes, int cpu);

void job_load(const struct job *job, struct job_answer *answer);
void job_instructions(const struct job *job, struct job_answer *answer);
void job_run(const struct job *job, struct job_answer *answer);
void job_attach(const struct job *job, struct job_answer *answer);
void job_keep(const struct job *job, struct job_answer *answer);
void job_perf(const struct job *job, struct job_answer *answer);

/*
 * Behind job_keep(), once its answer is sent or lost: closes the answer's
 * socket, and stays until the attachment is gone. 0 or -errno.
 */
int job_keep_on(int socket);

#endif
