/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LOAD_NAMES_H
#define LOAD_NAMES_H

#include "call/load_options.h"

#define LOAD_TARGET_SIZE 128 /* of a function or tracepoint, with its NUL */

/* The options of one load, as they are read. */
struct load_reading {
	struct call *call;
	struct load_options *options;
	const struct load_row *row; /* the option that is being read */
	unsigned names;
	uint32_t seen; /* set of 1 << row */
};

/* An option. */
struct load_row {
	const char *name;
	/* of a flag t is the option itself; false: an exception was raised */
	bool (*read)(struct load_reading *reading, struct term t);
	/* of an option with names: the value of one */
	bool (*read_named)(struct load_reading *reading, const char *name,
			   struct term t);
	/* that the loader gets, from the first to the last of a range */
	enum loader_option kind, last_kind;
	size_t size; /* of a text, with its NUL */
	bool is_flag;
};

/* A name that the option does not have yet. */
bool load_names_read(struct load_reading *reading, struct term t,
		     char name[LOADER_NAME_SIZE]);

/* A map from names to what the row reads. */
bool load_names_read_all(struct load_reading *reading, struct term t);

/* A record of the row's kind; name NULL: none. */
void load_names_add_number(struct load_reading *reading, const char *name,
			   uint64_t number);
void load_names_add_text(struct load_reading *reading, const char *name,
			 const char *text);

/* Values of names. */
bool load_names_number(struct load_reading *reading, const char *name,
		       struct term t);
bool load_names_variable(struct load_reading *reading, const char *name,
			 struct term t);
bool load_names_type(struct load_reading *reading, const char *name,
		     struct term t);
bool load_names_target(struct load_reading *reading, const char *name,
		       struct term t);
/* name NULL: a map of instructions */
bool load_names_map(struct load_reading *reading, const char *name,
		    struct term t);

#endif
