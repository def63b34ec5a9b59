/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JOB_OBJECT_H
#define JOB_OBJECT_H

#include <stdbool.h>
#include <stddef.h>

#include "loader/job_options.h"
#include "loader/jobs.h"

struct bpf_map;
struct bpf_object;
struct bpf_program;

/* A map of an object. */
struct job_map {
	struct bpf_map *map;
	/* that of the section, such as ".bss", whatever the object's name is;
	 * libbpf changes its own when it uses another map */
	const char *name;
	bool internal; /* the variables of a section */
	bool asks_pin;
	bool reused; /* one of the request in its place */
};

/* An object that is open, and how it is to be loaded. */
struct job_object {
	const struct job *job;
	struct job_answer *answer;
	struct job_options options;
	struct bpf_object *object;
	struct job_map *maps;
	size_t map_count;
	char *log; /* the verifier's, of all programs; NULL: each has its own */
};

/* Each of these is false once the answer says why. */

/* job_object.c: opens it, with no pins; and sets what the request asks for. */
bool job_object_open(struct job_object *object);
bool job_object_set(struct job_object *object);

/* job_object_limits.c: what may be loaded, and how much; then gives up the
 * capabilities that this does not take. */
bool job_object_check(struct job_object *object);

/* job_maps.c */
bool job_maps_read(struct job_object *object);
struct job_map *job_maps_find(const struct job_object *object,
			      const char *name);
bool job_maps_set_max_entries(struct job_object *object,
			      const struct record *record);
bool job_maps_set_value_size(struct job_object *object,
			     const struct record *record);
bool job_maps_reuse(struct job_object *object, const struct record *record);

/* job_variables.c: before the object is loaded, and what there are. */
bool job_variables_set_integer(struct job_object *object,
			       const struct record *record);
bool job_variables_set_bytes(struct job_object *object,
			     const struct record *record);
void job_variables_tell(struct job_object *object);

#endif
