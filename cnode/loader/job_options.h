/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JOB_OPTIONS_H
#define JOB_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/attach.h"
#include "loader/jobs.h"

#define JOB_NAME_SIZE 64
#define JOB_LICENSE_SIZE 128

/* The options of a job that name nothing within an object. */
struct job_options {
	uint32_t words; /* of --programs and of the request */
	uint64_t map_memory;
	uint64_t max_maps;
	uint64_t max_programs;
	char name[JOB_NAME_SIZE];
	unsigned log_level;
	/* LOADER_INSTRUCTIONS */
	uint32_t type;
	uint32_t attach_type;
	char attach_to[ATTACH_NAME_SIZE];
	char license[JOB_LICENSE_SIZE];
	bool sleepable;
	/* LOADER_RUN */
	const void *data; /* NULL: none */
	size_t data_size;
	const void *context; /* NULL: none */
	size_t context_size;
	uint32_t repeat;
	bool has_cpu;
	uint32_t cpu;
	/* LOADER_ATTACH */
	bool has_target;
	struct attach_target target;
	/* LOADER_PERF */
	uint32_t watermark;
};

/* False: the answer says why. */
bool job_options_read(const struct job *job, struct job_options *options,
		      struct job_answer *answer);

#endif
