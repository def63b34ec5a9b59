/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A heap, whose root is the entry that goes first. A record holds an entry, and
 * stays where it is; the place of the heap with the same number is in it, too:
 * the record that stands there.
 */
#include "call/ranking.h"

#include <string.h>

#include "call/values.h"

#define FIRST_SIZE ((size_t)4096) /* bytes of records */
#define ALIGNMENT 8

struct record {
	struct member_rank rank;
	uint32_t heap; /* the record at this place of the heap */
	char bytes[];  /* the key, then the value */
};

static size_t record_size(const struct map *map)
{
	size_t size =
		sizeof(struct record) + map->key_size + map_entry_size(map);

	return (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static struct record *record(const struct call *call,
			     const struct ranking *ranking, uint32_t n)
{
	return (struct record *)(void *)(ranking->records +
					 n * record_size(call->map));
}

static struct record *at(const struct call *call, const struct ranking *ranking,
			 uint32_t place)
{
	return record(call, ranking, record(call, ranking, place)->heap);
}

static void swap(const struct call *call, const struct ranking *ranking,
		 uint32_t a, uint32_t b)
{
	uint32_t *one = &record(call, ranking, a)->heap;
	uint32_t *other = &record(call, ranking, b)->heap;
	uint32_t n = *one;

	*one = *other;
	*other = n;
}

/* < 0: the entry of that rank and key goes before the record. */
static int compare(const struct call *call, const struct member_rank *rank,
		   const char *key, const struct record *with)
{
	int order = member_compare(rank, &with->rank);

	return order ? order : memcmp(with->bytes, key, call->map->key_size);
}

static bool goes_before(const struct call *call, const struct ranking *ranking,
			uint32_t a, uint32_t b)
{
	const struct record *one = at(call, ranking, a);

	return compare(call, &one->rank, one->bytes, at(call, ranking, b)) < 0;
}

static void sift_up(const struct call *call, const struct ranking *ranking,
		    uint32_t place)
{
	while (place > 0) {
		uint32_t above = (place - 1) / 2;

		if (!goes_before(call, ranking, place, above))
			return;
		swap(call, ranking, place, above);
		place = above;
	}
}

static void sift_down(const struct call *call, const struct ranking *ranking,
		      uint32_t count)
{
	uint32_t place = 0, below;

	while ((below = 2 * place + 1) < count) {
		if (below + 1 < count &&
		    goes_before(call, ranking, below + 1, below))
			below++;
		if (!goes_before(call, ranking, below, place))
			return;
		swap(call, ranking, place, below);
		place = below;
	}
}

/* Twice as many records, as far as they are wanted and a buffer may hold. */
static bool grow(struct call *call, struct ranking *ranking)
{
	size_t size = record_size(call->map);
	size_t max = call->context->common->max_message / size;
	size_t wanted = (size_t)ranking->capacity * 2;

	if (wanted == 0)
		wanted = FIRST_SIZE / size + 1;
	if (max > ranking->most)
		max = ranking->most;
	if (wanted > max)
		wanted = max;
	if (wanted <= ranking->capacity)
		return raise_reason(call, RAISED_TOO_BIG);
	ranking->records =
		call_buffer(call, &call->context->ranking, wanted * size);
	ranking->capacity = (uint32_t)wanted;
	return ranking->records;
}

static void fill(const struct call *call, struct record *record,
		 const struct member_rank *rank, const char *entry[2])
{
	size_t key_size = call->map->key_size;

	record->rank = *rank;
	memcpy(record->bytes, entry[0], key_size);
	memcpy(record->bytes + key_size, entry[1], map_entry_size(call->map));
}

bool ranking_add(struct call *call, struct ranking *ranking, const char *key,
		 const char *value)
{
	const struct members *members = &ranking->members;
	const struct member_rank rank =
		member_rank(&members->member, &members->fold, value);
	const char *entry[2] = { key, value };
	uint32_t n = ranking->count;

	if (n < ranking->most) {
		if (n == ranking->capacity && !grow(call, ranking))
			return false;
		fill(call, record(call, ranking, n), &rank, entry);
		record(call, ranking, n)->heap = n;
		ranking->count++;
		sift_up(call, ranking, n);
	} else if (n > 0 &&
		   compare(call, &rank, key, at(call, ranking, 0)) > 0) {
		fill(call, at(call, ranking, 0), &rank, entry);
		sift_down(call, ranking, n);
	}
	return true;
}

/* Moves what goes first behind the others, until none is left. */
static void sort(const struct call *call, const struct ranking *ranking)
{
	for (uint32_t left = ranking->count; left > 1; left--) {
		swap(call, ranking, 0, left - 1);
		sift_down(call, ranking, left - 1);
	}
}

bool ranking_write(struct call *call, struct ranking *ranking)
{
	size_t list = term_write_list_open(call->out);

	sort(call, ranking);
	for (uint32_t i = 0; i < ranking->count && !call->out->failed; i++) {
		const char *key = at(call, ranking, i)->bytes;

		if (!call_goes_on(call))
			return false;
		term_write_tuple(call->out, 2);
		values_write_key(call, key);
		values_write(call, key + call->map->key_size);
	}
	term_write_list_close(call->out, list, ranking->count);
	return true;
}
