/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options of a subscription:
 *
 *	Option = {credit, Bytes} | {batch, Bytes} | {linger, Ms}
 *	       | {from, newest | oldest} | {buffer, Bytes}
 *	       | {types, Layout | {btf, Name, Map}} | {as, _}
 *	       | {filter, [{Offset, Type, Op, Number}]}
 *	       | {lost, Map, Key}
 *	Type   = u8 | u16 | u32 | u64 | s8 | ... | be16 | be32 | be64
 *	Op     = '==' | '/=' | '<' | '=<' | '>' | '>=' | 'band'
 *
 * Layout and as are those of call/views.c. {btf, Name, Map} is the type of that
 * name in the BTF of a map, which all maps of an object share.
 */
#include "call/event_options.h"

#include <bpf/btf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bpf/kernel_btf.h"
#include "bpf/perf_rings.h"
#include "call/typed.h"
#include "call/values.h"
#include "call/views.h"
#include "types/btf_find.h"
#include "types/btf_read.h"

#define MAX_TYPE_SIZE 65536 /* bytes of an event with types */
#define NAME_SIZE 1024

const struct events_request event_options_default = {
	.credit = 1 << 20,
	.batch = 65536,
	.buffer = 131072,
};

/* What has to be read once all options are known. */
struct pending {
	struct view_options view;
	struct term lost_map, lost_key; /* of size 0: there are none */
};

/* --- Numbers ------------------------------------------------------------- */

static bool read_credit(struct term t, struct events_request *request)
{
	return term_read_amount(t, &request->credit);
}

static bool read_batch(struct term t, struct events_request *request)
{
	return term_read_uint32(t, &request->batch) &&
	       request->batch >= EVENTS_MIN_BATCH &&
	       request->batch <= EVENTS_MAX_BATCH;
}

static bool read_linger(struct term t, struct events_request *request)
{
	return term_read_uint32(t, &request->linger) &&
	       request->linger <= EVENTS_MAX_LINGER;
}

/* Whole pages, as many as a power of two. */
static bool read_buffer(struct term t, struct events_request *request)
{
	return term_read_uint32(t, &request->buffer) &&
	       request->buffer >= (uint32_t)sysconf(_SC_PAGESIZE) &&
	       request->buffer <= PERF_MAX_BUFFER &&
	       (request->buffer & (request->buffer - 1)) == 0;
}

static bool read_from(struct term t, struct events_request *request)
{
	request->oldest = term_is_atom(t, "oldest");
	return request->oldest || term_is_atom(t, "newest");
}

/* --- Filters ------------------------------------------------------------- */

static bool read_op(struct term t, struct filter_test *test)
{
	static const char *const ops[] = {
		[FILTER_EQUAL] = "==",  [FILTER_NOT_EQUAL] = "/=",
		[FILTER_LESS] = "<",    [FILTER_AT_MOST] = "=<",
		[FILTER_MORE] = ">",    [FILTER_AT_LEAST] = ">=",
		[FILTER_BITS] = "band",
	};

	for (int i = 0; i <= FILTER_BITS; i++)
		if (term_is_atom(t, ops[i])) {
			test->op = (enum filter_op)i;
			return true;
		}
	return false;
}

static bool read_test(struct term t, struct filter_test *test)
{
	struct term parts[4];

	return term_tuple_of(t, parts, 4) &&
	       term_read_uint32(parts[0], &test->offset) &&
	       read_op(parts[2], test) &&
	       filter_set_number(test, parts[1], parts[3]);
}

static bool read_filter(struct term t, struct events_request *request)
{
	struct filter *filter = &request->filter;
	struct term_items items;
	struct term item;

	filter->count = 0;
	if (!term_list(t, &items))
		return false;
	while (term_next(&items, &item)) {
		if (filter->count == FILTER_MAX ||
		    !read_test(item, &filter->tests[filter->count]))
			return false;
		filter->count++;
	}
	return term_end(&items);
}

/* --- Types --------------------------------------------------------------- */

static int read_btf(struct map *map, const char *name, struct plan **plan)
{
	struct map_info info;
	struct btf *btf;
	int error = map_get_info(map, &info);
	uint32_t id;

	if (error < 0)
		return error;
	if (info.btf_id == 0)
		return VIEWS_NOTYPE;
	error = kernel_btf_open(info.btf_id, &btf);
	if (error < 0)
		return error;
	id = btf_find(btf, name);
	error = id > 0 ? btf_read(btf, id, 0, plan) : VIEWS_NOTYPE;
	btf__free(btf);
	return error;
}

static bool read_btf_plans(struct call *call, const struct term parts[3],
			   struct types_plans **plans, int *error)
{
	struct account *account = call->context->account;
	struct plan *plan = NULL;
	char name[NAME_SIZE];

	if (!term_read_text(parts[1], name, sizeof(name)) || !*name)
		return raise_reason(call, RAISED_BADARG);
	if (!call_read_value_map(call, parts[2]))
		return false;
	*error = read_btf(call->value_map, name, &plan);
	if (*error != 0)
		return true;
	*plans = types_plans_new(NULL, plan, account ? account->budget : NULL);
	return *plans || raise_no_memory(call);
}

static bool read_plans(struct call *call, struct term types,
		       struct types_plans **plans, int *error)
{
	static const char zero[] = { ERL_SMALL_INTEGER_EXT, 0 };
	const struct term layouts[2] = { { zero, sizeof(zero) }, types };
	struct term parts[3];

	return term_tuple_of(types, parts, 3) && term_is_atom(parts[0], "btf")
		       ? read_btf_plans(call, parts, plans, error)
		       : views_read_layouts(call, layouts, NULL, plans, error);
}

static bool read_types(struct call *call, struct view_options *view,
		       struct events_request *request, int *error)
{
	struct types_plans *plans = NULL;

	if (view->types.size == 0)
		return view->as.size == 0 || raise_reason(call, RAISED_BADARG);
	if (!read_plans(call, view->types, &plans, error))
		return false;
	if (*error != 0 || !plans)
		return true;
	if (plans->value->size > MAX_TYPE_SIZE) {
		types_plans_unref(plans);
		*error = -E2BIG;
		return true;
	}
	request->types = views_read(view, plans, 0, error);
	if (*error == -EINVAL)
		return raise_reason(call, RAISED_BADARG);
	if (request->types)
		types_measure(request->types);
	return true;
}

/* --- Lost events --------------------------------------------------------- */

static bool is_counter(const struct map *map)
{
	return map->value_size == sizeof(uint64_t) && map->key_size > 0 &&
	       !(map->traits & (MAP_NO_ENTRIES | MAP_NO_PUT | MAP_KEY_IS_FD |
				MAP_VALUE_IS_FD | MAP_VALUE_HAS_FD));
}

static char *copy(const char *bytes, size_t size)
{
	char *block = malloc(size);

	if (block && bytes)
		memcpy(block, bytes, size);
	return block;
}

/* The handle's own view of the key, as in get/2. */
static bool read_lost(struct call *call, const struct pending *pending,
		      struct events_request *request)
{
	const char *key = NULL;
	struct map *map;
	bool good;

	if (!call_read_value_map(call, pending->lost_map))
		return false;
	/* keys are read for the call's map */
	map = call->map;
	call->map = call->value_map;
	good = (is_counter(call->map) || raise_reason(call, RAISED_BADARG)) &&
	       values_read_key(call, pending->lost_key, &key);
	if (good) {
		request->lost.map = map_ref(call->map);
		request->lost.key = copy(key, call->map->key_size);
		good = request->lost.key || raise_no_memory(call);
	}
	call->map = map;
	return good;
}

/* --- All ----------------------------------------------------------------- */

static bool read_option(struct term option, struct events_request *request,
			struct pending *pending)
{
	static const struct {
		const char *name;
		bool (*read)(struct term t, struct events_request *request);
	} readers[] = {
		{ "credit", read_credit }, { "batch", read_batch },
		{ "linger", read_linger }, { "from", read_from },
		{ "filter", read_filter }, { "buffer", read_buffer },
	};
	struct term pair[2], lost[3];

	if (term_tuple_of(option, lost, 3) && term_is_atom(lost[0], "lost")) {
		pending->lost_map = lost[1];
		pending->lost_key = lost[2];
		return true;
	}
	if (!term_tuple_of(option, pair, 2))
		return false;
	for (size_t i = 0; i < sizeof(readers) / sizeof(readers[0]); i++)
		if (term_is_atom(pair[0], readers[i].name))
			return readers[i].read(pair[1], request);
	if (term_is_atom(pair[0], "types"))
		pending->view.types = pair[1];
	else if (term_is_atom(pair[0], "as"))
		pending->view.as = pair[1];
	else
		return false;
	return true;
}

static bool read_list(struct term list, struct events_request *request,
		      struct pending *pending)
{
	struct term_items items;
	struct term item;

	if (!term_list(list, &items))
		return false;
	while (term_next(&items, &item))
		if (!read_option(item, request, pending))
			return false;
	return term_end(&items);
}

/* Those that make no sense for what is no bytes. */
static bool are_of_rings(const struct events_request *request,
			 const struct pending *pending)
{
	return request->filter.count > 0 || pending->view.types.size > 0 ||
	       pending->view.as.size > 0 || pending->lost_map.size > 0;
}

bool event_options_read(struct call *call, struct term list,
			struct events_request *request, int *error)
{
	struct pending pending = { .lost_map = { .size = 0 } };
	bool good;

	*error = 0;
	if (!read_list(list, request, &pending) ||
	    (!call->map && are_of_rings(request, &pending)))
		return raise_reason(call, RAISED_BADARG);
	good = read_types(call, &pending.view, request, error);
	if (good && *error == 0 && pending.lost_map.size > 0)
		good = read_lost(call, &pending, request);
	if (!good || *error != 0)
		event_options_fini(request);
	return good;
}

void event_options_fini(struct events_request *request)
{
	types_free(request->types);
	map_unref(request->lost.map);
	free(request->lost.key);
	request->types = NULL;
	request->lost = (struct events_lost){ .map = NULL };
}
