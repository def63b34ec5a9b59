/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LOAD_OPTIONS_H
#define LOAD_OPTIONS_H

#include "call/call.h"
#include "call/loading.h"
#include "call/views.h"

/* A map that goes into the loader, and into programs. */
struct load_map {
	struct map *map;
	struct term term; /* as it was given; of size 0: the pin of an object */
	char name[LOADER_NAME_SIZE]; /* of the map that it replaces */
};

/* A load: the request to the loader, and the options that stay here. */
struct load_options {
	struct loading loading;
	enum handles_lifetime lifetime;
	unsigned log;
	char pin[PATH_MAX];       /* a folder; empty: none */
	struct view_options view; /* of all maps that it makes, if any */
	struct load_map maps[LOADER_MAX_FDS - 1];
	unsigned map_count;
};

/* On the heap, as it is large; NULL: enomem has been raised. */
struct load_options *load_options_new(struct call *call, enum loader_job job);
void load_options_free(struct load_options *options); /* takes NULL */

/*
 * Read the options of load/2, or those of load/3, and add what the loader has
 * to know to the request. False: an exception was raised.
 */
bool load_options_read_object(struct call *call, struct term list,
			      struct load_options *options);
bool load_options_read_instructions(struct call *call, struct term list,
				    struct load_options *options);

/* libbpf's name of a type of program, as an atom. */
bool load_options_read_type(struct term t, uint32_t *type);

/*
 * Adds a map for one of the object, whose reference it takes over; false: there
 * are too many.
 */
bool load_options_add_map(struct load_options *options, struct map *map,
			  const char *name, struct term term);

#endif
