/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options of spawn requests:
 *
 *	link | monitor | {monitor, [{alias, Alias} | {tag, Tag}]}
 *	{priority, Level} | {message_queue_data, Where} | {scheduler, N}
 *	{fullsweep_after | min_heap_size | min_bin_vheap_size, N}
 *	{max_heap_size, N | #{size := N, kill => B, error_logger => B}}
 *	{async_dist, B}
 *
 * Options that tune a process have no effect here, but must be valid, as on an
 * Erlang node. The caller's node handles reply and reply_tag itself and does
 *not send them.
 */
#include "serve/spawn_options.h"

#include "dist/control.h"

#define SMALL_END ((uint64_t)1 << 59) /* Erlang's first big integer */
#define MAX_SCHEDULERS 1024           /* of any emulator */
#define MIN_HEAP 233                  /* of a process, in words */

struct options {
	unsigned flags;
	uint64_t min_heap;
	uint64_t max_heap; /* 0: none */
};

/* --- Values ------------------------------------------------------------- */

static bool is_one_of(struct term t, const char *const words[])
{
	while (*words && !term_is_atom(t, *words))
		words++;
	return *words;
}

static bool is_boolean(struct term t)
{
	static const char *const words[] = { "true", "false", NULL };

	return is_one_of(t, words);
}

static bool read_small(struct term t, uint64_t *value)
{
	return term_read_uint64(t, value) && *value < SMALL_END;
}

static bool is_monitor_option(struct term option)
{
	static const char *const aliases[] = { "explicit_unalias", "demonitor",
					       "reply_demonitor", NULL };
	struct term pair[2];

	return term_tuple_of(option, pair, 2) &&
	       (term_is_atom(pair[0], "tag") ||
		(term_is_atom(pair[0], "alias") &&
		 is_one_of(pair[1], aliases)));
}

/* --- Pairs -------------------------------------------------------------- */

static bool read_monitor(struct term value, struct options *options)
{
	struct term_items items;
	struct term option;

	if (!term_list(value, &items))
		return false;
	while (term_next(&items, &option))
		if (!is_monitor_option(option))
			return false;
	options->flags |= CONTROL_SPAWN_MONITOR;
	return term_end(&items);
}

static bool read_priority(struct term value, struct options *options)
{
	static const char *const levels[] = { "low", "normal", "high", "max",
					      NULL };

	(void)options;
	return is_one_of(value, levels);
}

static bool read_queue(struct term value, struct options *options)
{
	static const char *const places[] = { "on_heap", "off_heap", NULL };

	(void)options;
	return is_one_of(value, places);
}

static bool read_scheduler(struct term value, struct options *options)
{
	uint64_t number;

	(void)options;
	return read_small(value, &number) && number <= MAX_SCHEDULERS;
}

static bool read_number(struct term value, struct options *options)
{
	uint64_t number;

	(void)options;
	return read_small(value, &number);
}

static bool read_boolean(struct term value, struct options *options)
{
	(void)options;
	return is_boolean(value);
}

static bool read_min_heap(struct term value, struct options *options)
{
	if (!read_small(value, &options->min_heap))
		return false;
	if (options->min_heap < MIN_HEAP)
		options->min_heap = MIN_HEAP;
	return true;
}

/* Unknown keys are ignored: newer nodes may send them. */
static bool read_max_heap_map(struct term_items *items, uint64_t *size)
{
	struct term key, value;
	bool sized = false;

	while (term_next(items, &key) && term_next(items, &value)) {
		if (term_is_atom(key, "size")) {
			if (!read_small(value, size))
				return false;
			sized = true;
		} else if ((term_is_atom(key, "kill") ||
			    term_is_atom(key, "error_logger")) &&
			   !is_boolean(value)) {
			return false;
		}
	}
	return sized;
}

static bool read_max_heap(struct term value, struct options *options)
{
	struct term_items items;

	return term_map(value, &items)
		       ? read_max_heap_map(&items, &options->max_heap)
		       : read_small(value, &options->max_heap);
}

static const struct {
	const char *name;
	bool (*read)(struct term value, struct options *options);
} pairs[] = {
	{ "monitor", read_monitor },
	{ "priority", read_priority },
	{ "message_queue_data", read_queue },
	{ "scheduler", read_scheduler },
	{ "fullsweep_after", read_number },
	{ "min_heap_size", read_min_heap },
	{ "min_bin_vheap_size", read_number },
	{ "max_heap_size", read_max_heap },
	{ "async_dist", read_boolean },
};

/* --- Options ------------------------------------------------------------ */

static bool read_option(struct term option, struct options *options)
{
	struct term pair[2];

	if (term_is_atom(option, "link")) {
		options->flags |= CONTROL_SPAWN_LINK;
		return true;
	}
	if (term_is_atom(option, "monitor")) {
		options->flags |= CONTROL_SPAWN_MONITOR;
		return true;
	}
	if (!term_tuple_of(option, pair, 2))
		return false;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		if (term_is_atom(pair[0], pairs[i].name))
			return pairs[i].read(pair[1], options);
	return false;
}

static bool read_all(struct term list, struct options *options)
{
	struct term_items items;
	struct term option;

	if (!term_list(list, &items))
		return false;
	while (term_next(&items, &option))
		if (!read_option(option, options))
			return false;
	return term_end(&items) && (options->max_heap == 0 ||
				    options->max_heap >= options->min_heap);
}

/* [monitor], which erpc sends */
static bool is_usual(struct term list)
{
	static const char usual[] = "l\0\0\0\1"
				    "w\7monitor"
				    "j";
	const size_t size = sizeof(usual) - 1;

	return list.size == size && memcmp(list.at, usual, size) == 0;
}

bool spawn_options_read(struct term options, unsigned *flags)
{
	struct options read = { .min_heap = MIN_HEAP };
	bool good;

	if (is_usual(options)) {
		*flags = CONTROL_SPAWN_MONITOR;
		return true;
	}
	good = read_all(options, &read);
	*flags = read.flags;
	return good;
}
