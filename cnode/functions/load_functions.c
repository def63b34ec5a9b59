/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads programs, by the loader:
 *
 *	load(Elf, Options)
 *	           -> #{programs := #{Name => program()},
 *	                maps := #{Name => ebpf_map()},
 *	                variables := #{Name => #{map, offset, size}},
 *	                log => #{Name => binary()}} | {error, Reason}
 *	load(Type, Instructions, Options)
 *	           -> program() | {error, Reason}
 *
 *	Reason = Posix | {rejected, Posix, Program, Log} | {object, Text}
 *	       | {loader, gone | killed | timeout}
 *
 * Options are those of call/load_options.c. Places for handles are reserved
 * before the kernel makes anything. How many an object takes only the loader
 * finds out: so that is guessed, and where the guess is too low the loader
 * tells it, having made nothing, and is asked again.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/program.h"
#include "bpf/program_words.h"
#include "call/instructions.h"
#include "call/load_options.h"
#include "call/loaded.h"
#include "call/loading.h"
#include "call/objects.h"
#include "call/refusal.h"
#include "call/views.h"
#include "functions/handlers.h"
#include "limits/map_memory.h"

#define GUESSED_MAPS 16
#define GUESSED_PROGRAMS 16
#define DEFAULT_LICENSE "GPL"

/* One load. */
struct load {
	struct call *call;
	struct load_options *options;
	struct handles_reservation reservation;
	struct loaded loaded;
	int fds[LOADER_MAX_FDS];
	uint64_t memory; /* bytes that the maps may take */
	uint32_t type;   /* of load/3 */
	bool done;       /* the call has its result, an error */
};

/* False: enomem has been raised. */
static bool start(struct load *load, struct call *call, enum loader_job job)
{
	memset(load, 0, sizeof(*load));
	load->call = call;
	load->options = load_options_new(call, job);
	return load->options;
}

static void finish(struct load *load)
{
	const struct call_context *context = load->call->context;

	handles_unreserve(context->common->handles, context->owner,
			  &load->reservation);
	loaded_fini(&load->loaded);
	load_options_free(load->options);
}

static bool fail(struct load *load, int error)
{
	load->done = true;
	return call_write_error(load->call, error);
}

/* --- Asking --------------------------------------------------------------- */

/* As many as are reserved, and what memory is left. */
static bool ask(struct load *load)
{
	struct call_common *common = load->call->context->common;
	struct loading *loading = &load->options->loading;
	struct loader_request *request = &loading->request;

	loading_add_number(loading, LOADER_O_MAX_MAPS,
			   load->reservation.left[RESOURCE_MAPS]);
	loading_add_number(loading, LOADER_O_MAX_PROGRAMS,
			   load->reservation.left[RESOURCE_PROGRAMS]);
	load->memory = map_memory_left(common->map_memory);
	loading_add_number(loading, LOADER_O_MAP_MEMORY, load->memory);
	request->fd_count = load->options->map_count;
	request->fds = load->fds;
	for (unsigned i = 0; i < request->fd_count; i++)
		load->fds[i] = load->options->maps[i].map->resource.fd;
	return loading_ask(load->call, loading, &load->done);
}

static bool reserve(struct load *load, uint32_t maps, uint32_t programs)
{
	const struct call_context *context = load->call->context;
	int error;

	load->reservation = (struct handles_reservation){
		.left = { [RESOURCE_MAPS] = maps,
			  [RESOURCE_PROGRAMS] = programs },
	};
	error = handles_reserve(context->common->handles, context->owner,
				&load->reservation);
	return error == 0 || fail(load, error);
}

/* What is pinned as it asks for is no new map. */
static bool add_pins(struct load *load)
{
	const char *folder = load->options->pin;
	struct record record;
	struct map *map;
	size_t at = 0;
	int error;

	while (loading_next(&load->options->loading, &at, &record)) {
		if (record.kind != LOADER_R_MAP || !record.name ||
		    strlen(record.name) >= LOADER_NAME_SIZE)
			continue;
		if (!loaded_open_pin(load->call, folder, record.name, &map,
				     &error))
			return false;
		if (error == 0 && map &&
		    !load_options_add_map(load->options, map, record.name,
					  (struct term){ .at = NULL }))
			error = -EMFILE;
		if (error < 0)
			return fail(load, error);
	}
	return true;
}

/* What the object takes; false: it was made. */
static bool find_needs(const struct loading *loading, struct record *needs)
{
	size_t at = 0;

	while (loading_next(loading, &at, needs))
		if (needs->kind == LOADER_R_NEEDS)
			return true;
	return false;
}

static bool lied(struct load *load, const char *how)
{
	load->done = true;
	return loading_lied(load->call, how);
}

static bool exceeds_memory(struct load *load, const struct record *needs)
{
	const struct call_context *context = load->call->context;
	uint64_t bytes = 0;

	if (needs->size == sizeof(bytes))
		memcpy(&bytes, needs->data, sizeof(bytes));
	return bytes > load->memory &&
	       fail(load, map_memory_refuse(context->common->map_memory,
					    context->peer, bytes));
}

static bool ask_again(struct load *load, const struct record *needs)
{
	const struct call_context *context = load->call->context;
	uint32_t maps = (uint32_t)(needs->number >> 32);
	uint32_t programs = (uint32_t)needs->number;
	struct record record;

	if (maps > LOADER_MAX_ANSWER_FDS || programs > LOADER_MAX_ANSWER_FDS)
		return fail(load, -EMFILE);
	if (exceeds_memory(load, needs))
		return true;
	handles_unreserve(context->common->handles, context->owner,
			  &load->reservation);
	if (!reserve(load, maps, programs) ||
	    (!load->done && load->options->pin[0] && !add_pins(load)))
		return false;
	if (load->done)
		return true;
	loader_answer_free(&load->options->loading.answer);
	if (!ask(load))
		return false;
	if (load->done || !find_needs(&load->options->loading, &record))
		return true;
	/* others may have taken the memory meanwhile */
	return exceeds_memory(load, &record) ||
	       lied(load, "it had what it needs");
}

/* Whether maps ask to be pinned has to be known first. */
static bool ask_for_object(struct load *load)
{
	const struct call_context *context = load->call->context;
	struct record needs;

	if (!load->options->pin[0]) {
		load->reservation.left[RESOURCE_MAPS] = GUESSED_MAPS;
		load->reservation.left[RESOURCE_PROGRAMS] = GUESSED_PROGRAMS;
		handles_reserve_guess(context->common->handles, context->owner,
				      &load->reservation);
	}
	if (!ask(load))
		return false;
	return load->done || !find_needs(&load->options->loading, &needs) ||
	       ask_again(load, &needs);
}

/* --- Taking --------------------------------------------------------------- */

static bool charge(struct load *load)
{
	const struct call_context *context = load->call->context;
	const struct loaded *loaded = &load->loaded;
	size_t count = loaded->map_count - loaded->given;
	struct map **maps = calloc(count + 1, sizeof(struct map *));
	int error;

	if (!maps)
		return raise_no_memory(load->call);
	for (size_t i = 0; i < count; i++)
		maps[i] = loaded->maps[loaded->given + i].map;
	error = map_memory_adopt(context->common->map_memory, context->peer,
				 maps, count);
	free(maps);
	return error == 0 || fail(load, error);
}

static bool is_asked_for(const struct load *load)
{
	const struct loaded *loaded = &load->loaded;

	return load->options->loading.request.job == LOADER_LOAD ||
	       (loaded->program_count == 1 &&
		loaded->programs[0].program->type == load->type);
}

static bool take(struct load *load)
{
	struct call *call = load->call;
	int error;

	if (!loaded_read(call, load->options, &load->reservation, &load->loaded,
			 &load->done))
		return false;
	if (!load->done && !is_asked_for(load))
		return lied(load, "it made another program");
	if (!load->done && !charge(load))
		return false;
	if (!load->done && views_are_wanted(&load->options->view) &&
	    !loaded_type_maps(call, load->options, &load->loaded, &load->done))
		return false;
	if (load->done)
		return true;
	if (!call_check_answer(call, loaded_size(&load->loaded)) ||
	    !loaded_hold(call, &load->loaded, load->options, &load->reservation,
			 &error))
		return false;
	return error == 0 || fail(load, error);
}

/* --- load/2 --------------------------------------------------------------- */

static bool read_object(struct load *load, struct term t)
{
	struct loader_request *request = &load->options->loading.request;
	const char *bytes;

	if (!term_read_binary(t, &bytes, &request->object_size))
		return loading_wrong(load->call, "the object is no binary");
	request->object = bytes;
	return true;
}

bool load_functions_object(struct call *call)
{
	struct load load;
	bool good =
		start(&load, call, LOADER_LOAD) &&
		read_object(&load, call->args[0]) &&
		load_options_read_object(call, call->args[1], load.options) &&
		ask_for_object(&load);

	if (good && !load.done)
		good = take(&load);
	if (good && !load.done)
		loaded_write(call, &load.loaded, load.options->log > 0);
	finish(&load);
	return good;
}

/* --- load/3 --------------------------------------------------------------- */

static bool check_type(struct call *call, uint32_t type)
{
	return program_words_allow(call->context->common->program_words,
				   type) ||
	       refusal_raise(call, REFUSAL_PROGRAM_TYPE,
			     program_type_name(type));
}

static bool read_instructions(struct load *load)
{
	struct call *call = load->call;
	struct loading *loading = &load->options->loading;
	int error;

	if (!load_options_read_type(call->args[0], &load->type))
		return loading_wrong(call, "the type is none that libbpf has a "
					   "name for");
	loading_add_number(loading, LOADER_O_TYPE, load->type);
	loading_add_bytes(loading, LOADER_O_NAME, "", 0);
	loading_add_bytes(loading, LOADER_O_LICENSE, DEFAULT_LICENSE,
			  strlen(DEFAULT_LICENSE));
	if (!load_options_read_instructions(call, call->args[2],
					    load->options) ||
	    !instructions_read(call, call->args[1], load->options, &error) ||
	    !check_type(call, load->type))
		return false;
	return error == 0 || fail(load, error);
}

bool load_functions_instructions(struct call *call)
{
	struct load load;
	bool good = start(&load, call, LOADER_INSTRUCTIONS) &&
		    read_instructions(&load);

	if (good && !load.done)
		good = reserve(&load, 0, 1);
	if (good && !load.done)
		good = ask(&load);
	if (good && !load.done)
		good = take(&load);
	if (good && !load.done)
		objects_write_handle(call,
				     &load.loaded.programs[0].program->resource,
				     &load.loaded.programs[0].ref);
	finish(&load);
	return good;
}
