/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions on many keys, in one message each:
 *
 *	with(Keys, Map)    -> #{Key => Value} of the keys found, as they came
 *	without(Keys, Map) -> Map, as it came
 *	merge(Map, Pairs)  -> Map, as it came; raises {Posix, Done} after Done
 *	                      pairs, if the kernel refuses the next or the
 *	                      object that it names is gone
 *	Pairs = [{Key, Value}] | #{Key => Value}
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/budget.h"
#include "bpf/retry.h"
#include "call/call.h"
#include "call/values.h"
#include "functions/handlers.h"

#define PUT_BYTES ((size_t)256 * 1024) /* of entries, in one system call */

/* --- with/2 ------------------------------------------------------------- */

/* By their bytes; only equality matters. */
static int compare_terms(const void *a, const void *b)
{
	const struct term *s = a, *t = b;
	size_t size = s->size < t->size ? s->size : t->size;
	int order = memcmp(s->at, t->at, size);

	return order ? order : (s->size > t->size) - (s->size < t->size);
}

/* Sorting millions takes seconds; with all terms equal, it soon ends. */
static int compare_while_wanted(const void *a, const void *b, void *call)
{
	return call_goes_on(call) ? compare_terms(a, b) : 0;
}

/* Keys of a request, and the size of their memory. */
struct keys {
	struct term *terms;
	size_t size;
	uint32_t n;
};

static bool make_keys(struct call *call, uint32_t n, struct keys *keys)
{
	size_t size = ((size_t)n + 1) * sizeof(*keys->terms);

	keys->terms = budget_realloc(call->context->account, NULL, 0, size);
	if (!keys->terms)
		return raise_no_memory(call);
	keys->size = size;
	return true;
}

/* qsort(3) allocates as much memory again. */
static bool sort_keys(struct call *call, const struct keys *keys)
{
	struct account *account = call->context->account;

	if (!budget_reserve(account, keys->size))
		return raise_no_memory(call);
	qsort_r(keys->terms, keys->n, sizeof(*keys->terms),
		compare_while_wanted, call);
	budget_release(account, keys->size);
	return true;
}

/* The keys of a list, without duplicates: a map term must not have any. */
static bool read_keys(struct call *call, struct term list, struct keys *keys)
{
	struct term_items items;
	struct term item;
	uint32_t unique = 0;

	if (!term_list(list, &items))
		return raise_reason(call, RAISED_BADARG);
	if (!make_keys(call, items.left, keys))
		return false;
	while (term_next(&items, &item))
		keys->terms[keys->n++] = item;
	if (!term_end(&items))
		return raise_reason(call, RAISED_BADARG);
	if (!sort_keys(call, keys))
		return false;
	for (uint32_t i = 0; i < keys->n; i++)
		if (unique == 0 || compare_terms(&keys->terms[unique - 1],
						 &keys->terms[i]) != 0)
			keys->terms[unique++] = keys->terms[i];
	keys->n = unique;
	return true;
}

static bool write_found(struct call *call, const struct keys *keys)
{
	size_t open = term_write_map_open(call->out);
	uint32_t found = 0;
	char *value;
	int error;

	for (uint32_t i = 0; i < keys->n && !call->out->failed; i++) {
		if (!call_goes_on(call) ||
		    !values_lookup(call, keys->terms[i], &error, &value))
			return false;
		if (error < 0)
			continue;
		term_write_term(call->out, keys->terms[i]);
		values_write(call, value);
		found++;
	}
	term_write_map_close(call->out, open, found);
	return true;
}

bool many_functions_with(struct call *call)
{
	struct keys keys = { .terms = NULL };
	bool good = call_read_map(call, call->args[1]) &&
		    read_keys(call, call->args[0], &keys) &&
		    write_found(call, &keys);

	budget_free(call->context->account, keys.terms, keys.size);
	return good;
}

/* --- without/2 ---------------------------------------------------------- */

/* All keys are checked before the first is removed. */
static bool each_key(struct call *call, struct term list, bool remove)
{
	struct term_items items;
	struct term item;
	const char *key;
	int error;

	if (!term_list(list, &items))
		return raise_reason(call, RAISED_BADARG);
	while (term_next(&items, &item)) {
		if (!call_goes_on(call) ||
		    !values_find_key(call, item, &key, &error))
			return false;
		if (remove && error == 0)
			error = map_remove(call->map, key);
		if (error < 0 && error != -ENOENT)
			return raise_errno(call, error);
	}
	return term_end(&items) || raise_reason(call, RAISED_BADARG);
}

bool many_functions_without(struct call *call)
{
	if (!call_read_map(call, call->args[1]))
		return false;
	if (call->map->traits & MAP_NO_REMOVAL)
		return raise_errno(call, -EINVAL);
	if (!each_key(call, call->args[0], false) ||
	    !each_key(call, call->args[0], true))
		return false;
	term_write_term(call->out, call->args[1]);
	return true;
}

/* --- merge/2 ------------------------------------------------------------ */

/* Iterates over the pairs of a list or a map. */
struct pairs {
	struct term_items items;
	bool map;
};

static bool open_pairs(struct term t, struct pairs *pairs)
{
	pairs->map = term_map(t, &pairs->items);
	return pairs->map || term_list(t, &pairs->items);
}

/* The next pair; false at the end, or with badarg raised for no pair. */
static bool next_pair(struct call *call, struct pairs *pairs,
		      struct term pair[2])
{
	struct term item;

	if (pairs->map)
		return term_next(&pairs->items, &pair[0]) &&
		       term_next(&pairs->items, &pair[1]);
	if (!term_next(&pairs->items, &item))
		return term_end(&pairs->items)
			       ? false
			       : raise_reason(call, RAISED_BADARG);
	return term_tuple_of(item, pair, 2) ||
	       raise_reason(call, RAISED_BADARG);
}

static bool check_pairs(struct call *call, struct term t)
{
	struct pairs pairs;
	struct term pair[2] = { { .size = 0 } };
	const char *key, *value;

	if (!open_pairs(t, &pairs))
		return raise_reason(call, RAISED_BADARG);
	while (next_pair(call, &pairs, pair))
		if (!call_goes_on(call) ||
		    !values_read_key(call, pair[0], &key) ||
		    !values_read(call, pair[1], &value))
			return false;
	return call->raised.reason == RAISED_NOTHING;
}

/* Entries for one system call. */
struct load {
	char *keys;
	char *values;
	uint32_t capacity;
	uint32_t count;
	uint32_t put;  /* this many, the first, are in the map */
	uint64_t done; /* put so far, with earlier loads */
};

static bool make_load(struct call *call, struct load *load, uint32_t pairs)
{
	size_t value = map_entry_size(call->map);
	size_t entry = value + call->map->key_size;
	size_t fit = entry > 0 ? PUT_BYTES / entry : pairs;

	*load = (struct load){ .capacity =
				       fit < pairs ? (uint32_t)fit : pairs };
	/* reading a key or value closes the descriptor of the one before */
	if (load->capacity == 0 ||
	    call->map->traits &
		    (MAP_KEY_IS_FD | MAP_VALUE_IS_FD | MAP_VALUE_HAS_FD))
		load->capacity = 1;
	load->values = call_batch_buffer(call, load->capacity * entry);
	load->keys = load->values + load->capacity * value;
	return load->values;
}

static int put_one_by_one(struct call *call, struct load *load)
{
	struct map *map = call->map;
	size_t value = map_entry_size(map);
	int error = 0;

	while (load->put < load->count && error == 0) {
		if (!call_goes_on(call))
			return -ECANCELED;
		error = map_put(map,
				load->keys + (size_t)load->put * map->key_size,
				load->values + load->put * value);
		load->put += error == 0;
	}
	return error;
}

/* Puts the rest of the load, up to the first that the kernel refuses. */
static int put_rest(struct call *call, struct load *load)
{
	struct map *map = call->map;
	struct map_batch batch = {
		.keys = load->keys + (size_t)load->put * map->key_size,
		.values = load->values + load->put * map_entry_size(map),
		.count = load->count - load->put,
	};
	int error = map_put_batch(map, &batch);

	if (error == -ENOTSUP)
		return put_one_by_one(call, load);
	load->put += batch.count;
	return error;
}

/* Raises {Posix, Done} if the kernel refuses an entry. */
static bool put_load(struct call *call, struct load *load)
{
	struct retry retry = { .stopped = call->context->stopped };
	uint32_t before;
	int error;

	load->put = 0;
	do {
		before = load->put;
		error = put_rest(call, load);
		if (load->put > before) /* progress */
			retry.waits = 0;
	} while (retry_after(&retry, error));
	load->done += load->put;
	load->count = 0;
	return error == 0 || raise_done(call, error, load->done);
}

/* A handle or process is gone since check_pairs() found it. */
static bool raise_gone(struct call *call, const struct load *load)
{
	const struct raised *raised = &call->raised;

	return raise_done(
		call, raised->reason == RAISED_ERRNO ? -raised->error : -EBADF,
		load->done);
}

static bool put_pairs(struct call *call, struct term t)
{
	size_t value_size = map_entry_size(call->map);
	struct pairs pairs;
	struct term pair[2] = { { .size = 0 } };
	const char *key, *value;
	struct load load;

	if (!open_pairs(t, &pairs) || !make_load(call, &load, pairs.items.left))
		return false;
	while (next_pair(call, &pairs, pair)) {
		if (!call_goes_on(call) ||
		    !values_read_key(call, pair[0], &key) ||
		    !values_read(call, pair[1], &value))
			return raise_gone(call, &load);
		memcpy(load.keys + (size_t)load.count * call->map->key_size,
		       key, call->map->key_size);
		memcpy(load.values + load.count * value_size, value,
		       value_size);
		if (++load.count == load.capacity && !put_load(call, &load))
			return false;
	}
	return load.count == 0 || put_load(call, &load);
}

/* All pairs are checked before the first is put. */
bool many_functions_merge(struct call *call)
{
	if (!call_read_map(call, call->args[0]) ||
	    !check_pairs(call, call->args[1]) ||
	    !put_pairs(call, call->args[1]))
		return false;
	term_write_term(call->out, call->args[0]);
	return true;
}
