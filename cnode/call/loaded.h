/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LOADED_H
#define LOADED_H

#include "call/load_options.h"
#include "handles/handles.h"

struct program;

/* What a load has made, as the kernel has it; names live as long as the answer.
 */
struct loaded_program {
	const char *name;
	struct program *program;
	struct record log; /* of size 0: none */
	erlang_ref ref;
};

struct loaded_map {
	const char *name;
	struct map *map;
	struct term given; /* by the caller; of size 0: none */
	bool asks_pin;     /* and is new */
	bool pinned;       /* by this load */
	erlang_ref ref;
};

struct loaded_variable {
	const char *name;
	const struct loaded_map *map;
	uint32_t offset;
	uint32_t size;
};

/* All zero: empty. Also has the maps that were given. */
struct loaded {
	struct loaded_program *programs;
	size_t program_count;
	struct loaded_map *maps;
	size_t map_count;
	size_t given; /* of those; they come first */
	struct loaded_variable *variables;
	size_t variable_count;
};

/*
 * Takes over what the answer has, and believes none of it: the kernel says what
 * each descriptor is, and of which maps. *done: it was something else, which is
 * logged, and the call has its result. False: an exception was raised.
 */
bool loaded_read(struct call *call, struct load_options *options,
		 const struct handles_reservation *reservation,
		 struct loaded *loaded, bool *done);

/*
 * Makes its maps views, as the options want, by the BTF in the answer. *done
 * and false as loaded_read().
 */
bool loaded_type_maps(struct call *call, struct load_options *options,
		      struct loaded *loaded, bool *done);

/* Closes what nobody else holds. */
void loaded_fini(struct loaded *loaded);

/*
 * Pins the maps that ask for it, and makes handles of the rest with the
 * reservation: all or none. *error: 0, or -errno. False: an exception was
 * raised.
 */
bool loaded_hold(struct call *call, struct loaded *loaded,
		 const struct load_options *options,
		 struct handles_reservation *reservation, int *error);

/* The most bytes that loaded_write() writes. */
size_t loaded_size(const struct loaded *loaded);
void loaded_write(struct call *call, const struct loaded *loaded,
		  bool with_logs);

/* Opens the pin of an object's map, *map NULL: there is none. */
bool loaded_open_pin(struct call *call, const char *folder, const char *name,
		     struct map **map, int *error);

#endif
