/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAP_OPTIONS_H
#define MAP_OPTIONS_H

#include "bpf/map.h"
#include "call/call.h"
#include "call/views.h"

/* The options of new/5 and open/2, for the map and for its handle. */
struct map_options {
	struct map_spec spec;
	bool named;
	bool name_is_valid;
	enum handles_lifetime lifetime;
	struct view_options view;
	struct types_plans *plans; /* of the layouts of new/4,5; or NULL */
};

/* Adds a list of options to those already read. */
bool map_options_read(struct call *call, struct term list,
		      struct map_options *options);

/*
 * The arguments of new/4,5 and check/4,5, with the flags that are implied.
 * *error: 0, or why the layouts have no plans, -errno. The plans are the
 * caller's.
 */
bool map_options_read_new(struct call *call, struct map_options *options,
			  int *error);

/* False if t is no text; *valid is false if it is no name of 0..15 bytes. */
bool map_options_read_name(struct term t, char name[MAP_NAME_SIZE],
			   bool *valid);

#endif
