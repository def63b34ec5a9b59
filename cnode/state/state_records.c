/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records in the entries of the arrays. The links between entries that count
 * are in memory of this process; those in the arrays are for the next start.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/log.h"
#include "state/state_internal.h"

#define MAX_DAMAGED_LINES 10

static struct state_entry *entry_of(const struct state *state, uint32_t index)
{
	return &state->segments[index / STATE_ENTRIES]
			.entries[index % STATE_ENTRIES];
}

static uint32_t *link_of(const struct state *state, uint32_t index)
{
	return &state->segments[index / STATE_ENTRIES]
			.links[index % STATE_ENTRIES];
}

static uint32_t *size_of(const struct state *state, uint32_t index)
{
	return &state->segments[index / STATE_ENTRIES]
			.sizes[index % STATE_ENTRIES];
}

static uint32_t entries_for(size_t size)
{
	return (uint32_t)((size + STATE_ENTRY_BYTES - 1) / STATE_ENTRY_BYTES);
}

static uint32_t sum_of(uint32_t size, const void *bytes)
{
	uLong sum = crc32(0, (const unsigned char *)&size, sizeof(size));

	return (uint32_t)crc32(sum, bytes, size);
}

/* --- Taking and dropping -------------------------------------------------- */

/* Called with the lock. */
static uint32_t take_entries(struct state *state, uint32_t count)
{
	uint32_t first = state->first_free, last = first;

	for (uint32_t i = 1; i < count; i++)
		last = *link_of(state, last);
	state->first_free = *link_of(state, last);
	*link_of(state, last) = 0;
	state->free_count -= count;
	return first;
}

static bool try_take(struct state *state, uint32_t count, uint32_t *record)
{
	bool fits;

	pthread_mutex_lock(&state->lock);
	fits = state->free_count >= count;
	if (fits)
		*record = take_entries(state, count);
	pthread_mutex_unlock(&state->lock);
	return fits;
}

static int refuse(const struct state *state, int error)
{
	static struct log_limit limit = LOG_LIMIT_OF("refused", "not_kept");

	log_limited(&limit, LOG_WARNING,
		    "--keep %s: no room for another record: %s", state->path,
		    error == -ENOSPC ? "there are too many" : strerror(-error));
	return error;
}

int state_take(struct state *state, size_t size, uint32_t *record)
{
	uint32_t count = entries_for(size);
	int error = state->error;

	if (error < 0 || size == 0 || size > STATE_MAX_RECORD)
		return refuse(state, error < 0 ? error : -ENOSPC);
	if (try_take(state, count, record))
		return 0;
	pthread_mutex_lock(&state->growing);
	while (error == 0 && !try_take(state, count, record))
		error = state_segments_grow(state);
	pthread_mutex_unlock(&state->growing);
	return error < 0 ? refuse(state, error) : 0;
}

void state_write(struct state *state, uint32_t record, const void *bytes,
		 size_t size)
{
	struct state_entry *entry, *head = entry_of(state, record);
	const unsigned char *from = bytes;
	uint32_t index = record;
	size_t left = size, part;

	*size_of(state, record) = (uint32_t)size;
	head->size = (uint32_t)size;
	head->sum = sum_of((uint32_t)size, bytes);
	while (left > 0) {
		entry = entry_of(state, index);
		part = left < STATE_ENTRY_BYTES ? left : STATE_ENTRY_BYTES;
		memcpy(entry->bytes, from, part);
		index = *link_of(state, index);
		entry->next = index;
		from += part;
		left -= part;
	}
	atomic_store_explicit(&head->head, STATE_HEAD, memory_order_release);
}

void state_drop(struct state *state, uint32_t record)
{
	uint32_t last = record, count = 1;

	atomic_store_explicit(&entry_of(state, record)->head, 0,
			      memory_order_release);
	*size_of(state, record) = 0;
	pthread_mutex_lock(&state->lock);
	for (; *link_of(state, last) > 0; count++)
		last = *link_of(state, last);
	*link_of(state, last) = state->first_free;
	state->first_free = record;
	state->free_count += count;
	pthread_mutex_unlock(&state->lock);
}

bool state_records_equal(const struct state *state, uint32_t record,
			 const void *bytes, size_t size)
{
	const unsigned char *with = bytes;
	uint32_t index = record;
	size_t left = size, part;

	for (; left > 0; left -= part) {
		part = left < STATE_ENTRY_BYTES ? left : STATE_ENTRY_BYTES;
		if (memcmp(entry_of(state, index)->bytes, with + (size - left),
			   part) != 0)
			return false;
		index = *link_of(state, index);
	}
	return true;
}

/* --- Loading -------------------------------------------------------------- */

/* The link of the last entry of a record, while they are loaded. */
#define LAST UINT32_MAX

static bool is_entry(const struct state *state, uint32_t index)
{
	return index / STATE_ENTRIES < state->segment_count &&
	       index % STATE_ENTRIES > 0;
}

static bool is_free(const struct state *state, uint32_t index)
{
	return is_entry(state, index) && *link_of(state, index) == 0;
}

/*
 * Copies the bytes of a record, and links its entries, which no other may have.
 * Each field is read once: others may write there. *linked is how many, even on
 * failure.
 */
static bool gather(const struct state *state, uint32_t record, uint32_t size,
		   unsigned char *bytes, uint32_t *linked)
{
	const struct state_entry *entry;
	uint32_t index = record, next, left = size, part;

	for (*linked = 0; is_free(state, index); index = next) {
		entry = entry_of(state, index);
		if (index != record && atomic_load(&entry->head) != 0)
			return false;
		part = left < STATE_ENTRY_BYTES ? left : STATE_ENTRY_BYTES;
		memcpy(bytes + (size - left), entry->bytes, part);
		left -= part;
		next = *(const volatile uint32_t *)&entry->next;
		*link_of(state, index) = left > 0 && next > 0 ? next : LAST;
		++*linked;
		if (left == 0)
			return next == 0;
		if (next == 0)
			return false;
	}
	return false;
}

/* Frees the entries that gather() has linked; what is next may be another's. */
static void unlink_all(const struct state *state, uint32_t record,
		       uint32_t linked)
{
	uint32_t index = record, next;

	for (; linked > 0; linked--) {
		next = *link_of(state, index);
		*link_of(state, index) = 0;
		index = next;
	}
}

static bool load_record(const struct state *state, uint32_t record,
			unsigned char *bytes, uint64_t *work)
{
	const struct state_entry *head = entry_of(state, record);
	uint32_t size = *(const volatile uint32_t *)&head->size;
	uint32_t sum = *(const volatile uint32_t *)&head->sum;
	uint32_t linked;

	if (size == 0 || size > STATE_MAX_RECORD || size > *work)
		return false;
	*work -= size;
	if (!is_free(state, record))
		return false;
	if (!gather(state, record, size, bytes, &linked) ||
	    sum_of(size, bytes) != sum) {
		unlink_all(state, record, linked);
		return false;
	}
	*size_of(state, record) = size;
	return true;
}

/* The rest is free; the last entry of a record gets its link. */
static void link_free(struct state *state)
{
	uint32_t index, *link;

	state->first_free = 0;
	state->free_count = 0;
	for (index = state->segment_count * STATE_ENTRIES; index-- > 1;) {
		if (index % STATE_ENTRIES == 0)
			continue;
		link = link_of(state, index);
		if (*link == LAST) {
			*link = 0;
		} else if (*link == 0) {
			*link = state->first_free;
			state->first_free = index;
			state->free_count++;
		}
	}
}

static void log_damaged(const struct state *state, uint32_t record,
			unsigned number)
{
	if (number < MAX_DAMAGED_LINES)
		log_warning("--keep %s: record %u is damaged, and is dropped",
			    state->path, record);
	else if (number == MAX_DAMAGED_LINES)
		log_warning("--keep %s: more records are damaged", state->path);
}

static void load_records(struct state *state, unsigned char *bytes)
{
	uint32_t end = state->segment_count * STATE_ENTRIES;
	/* sound records have each byte once; others cost no more than that */
	uint64_t work = 2 * (uint64_t)end * STATE_ENTRY_BYTES;
	struct state_entry *entry;
	unsigned damaged = 0;

	for (uint32_t i = 1; i < end; i++) {
		entry = entry_of(state, i);
		if (i % STATE_ENTRIES == 0 || atomic_load(&entry->head) == 0)
			continue;
		if (atomic_load(&entry->head) == STATE_HEAD &&
		    load_record(state, i, bytes, &work))
			continue;
		log_damaged(state, i, damaged++);
		atomic_store(&entry->head, 0);
	}
}

enum exit_status state_load(struct state *state)
{
	unsigned char *bytes;
	enum exit_status status;
	int error = state_folder_list(state);

	if (error < 0) {
		log_error("--keep %s: cannot read it: %s", state->path,
			  strerror(-error));
		return STATUS_OTHER;
	}
	status = state_segments_load(state);
	if (status != STATUS_OK || state->error < 0)
		return status;
	if (state->segment_count == 0) {
		state_segments_begin(state);
		return STATUS_OK;
	}
	bytes = malloc(STATE_MAX_RECORD);
	if (!bytes) {
		log_error("out of memory");
		return STATUS_OTHER;
	}
	load_records(state, bytes);
	link_free(state);
	free(bytes);
	return STATUS_OK;
}

/* --- Visiting ------------------------------------------------------------- */

static void copy_out(const struct state *state, uint32_t record, uint32_t size,
		     unsigned char *bytes)
{
	uint32_t index = record, left = size, part;

	for (; left > 0; left -= part) {
		part = left < STATE_ENTRY_BYTES ? left : STATE_ENTRY_BYTES;
		memcpy(bytes + (size - left), entry_of(state, index)->bytes,
		       part);
		index = *link_of(state, index);
	}
}

int state_each(struct state *state, state_visitor visit, void *context)
{
	uint32_t end = state->segment_count * STATE_ENTRIES, size;
	unsigned char *bytes = malloc(STATE_MAX_RECORD);

	if (!bytes)
		return -ENOMEM;
	for (uint32_t i = 1; i < end; i++) {
		size = *size_of(state, i);
		if (size == 0)
			continue;
		copy_out(state, i, size, bytes);
		visit(i, bytes, size, context);
	}
	free(bytes);
	return 0;
}
