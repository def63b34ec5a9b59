/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAP_OPTIONS_H
#define MAP_OPTIONS_H

#include "bpf/map.h"
#include "call/call.h"

/* What the options of new/5 and open/2 say: of the map, and of its handle. */
struct map_options {
	struct map_spec spec;
	bool named;
	bool name_is_valid;
	enum handles_lifetime lifetime;
};

/* Adds what a list of options says. False: badarg has been raised, or so. */
bool map_options_read(struct call *call, struct term list,
		      struct map_options *options);

/*
 * The arguments of new/4,5 and of check/4,5, with the flags that go without
 * saying. False: badarg has been raised, or so.
 */
bool map_options_read_new(struct call *call, struct map_options *options);

/* A name of up to 15 bytes; *valid is false for others that are texts. */
bool map_options_read_name(struct term t, char name[MAP_NAME_SIZE],
			   bool *valid);

#endif
