/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records in the entries of the arrays. The links between entries that count
 * are in memory of this process; those in the arrays are for the next start.
 */
#include <bpf/bpf.h>
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
	pthread_mutex_lock(&state->lock);
	for (; *link_of(state, last) > 0; count++)
		last = *link_of(state, last);
	*link_of(state, last) = state->first_free;
	state->first_free = record;
	state->free_count += count;
	pthread_mutex_unlock(&state->lock);
}

/* --- Loading -------------------------------------------------------------- */

/* What the arrays hold: entries that a record has, while they are loaded. */
#define USED UINT32_MAX

static bool is_entry(const struct state *state, uint32_t index)
{
	return index / STATE_ENTRIES < state->segment_count &&
	       index % STATE_ENTRIES > 0;
}

/*
 * Copies the bytes of a record, and marks its entries, which no other may have.
 * *marked is how many, even on failure.
 */
static bool gather(const struct state *state, uint32_t record, uint32_t size,
		   unsigned char *bytes, uint32_t *marked)
{
	const struct state_entry *entry;
	uint32_t index = record, left = size, part;

	for (*marked = 0; left > 0; ++*marked) {
		if (!is_entry(state, index) || *link_of(state, index) != 0)
			return false;
		entry = entry_of(state, index);
		if (index != record && atomic_load(&entry->head) != 0)
			return false;
		part = left < STATE_ENTRY_BYTES ? left : STATE_ENTRY_BYTES;
		memcpy(bytes + (size - left), entry->bytes, part);
		*link_of(state, index) = USED;
		index = entry->next;
		left -= part;
	}
	return index == 0;
}

/* Links the entries that are marked, but the last; or frees them again. */
static void settle(const struct state *state, uint32_t record, uint32_t marked,
		   bool good)
{
	uint32_t index = record, next;

	for (; marked > 0; marked--) {
		next = entry_of(state, index)->next;
		if (!good || marked > 1)
			*link_of(state, index) = good ? next : 0;
		index = next;
	}
}

static bool load_record(const struct state *state, uint32_t record,
			unsigned char *bytes)
{
	const struct state_entry *head = entry_of(state, record);
	uint32_t size = head->size, marked;
	bool good;

	if (size == 0 || size > STATE_MAX_RECORD)
		return false;
	good = gather(state, record, size, bytes, &marked) &&
	       sum_of(size, bytes) == head->sum;
	settle(state, record, marked, good);
	return good;
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
		if (*link == USED) {
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
	struct state_entry *entry;
	unsigned damaged = 0;

	for (uint32_t i = 1; i < end; i++) {
		entry = entry_of(state, i);
		if (i % STATE_ENTRIES == 0 || atomic_load(&entry->head) == 0)
			continue;
		if (atomic_load(&entry->head) == STATE_HEAD &&
		    load_record(state, i, bytes))
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

static void copy_out(const struct state *state, uint32_t record,
		     unsigned char *bytes)
{
	uint32_t left = entry_of(state, record)->size, part;
	unsigned char *to = bytes;

	for (uint32_t index = record; index > 0 && left > 0;
	     index = *link_of(state, index)) {
		part = left < STATE_ENTRY_BYTES ? left : STATE_ENTRY_BYTES;
		memcpy(to, entry_of(state, index)->bytes, part);
		to += part;
		left -= part;
	}
}

/* Its size was checked when it was loaded, or written here. */
int state_each(struct state *state, state_visitor visit, void *context)
{
	uint32_t end = state->segment_count * STATE_ENTRIES;
	unsigned char *bytes = malloc(STATE_MAX_RECORD);
	const struct state_entry *entry;

	if (!bytes)
		return -ENOMEM;
	for (uint32_t i = 1; i < end; i++) {
		entry = entry_of(state, i);
		if (i % STATE_ENTRIES == 0 ||
		    atomic_load(&entry->head) != STATE_HEAD)
			continue;
		copy_out(state, i, bytes);
		visit(i, bytes, entry->size, context);
	}
	free(bytes);
	return 0;
}

/* --- Pins ----------------------------------------------------------------- */

int state_pin(const struct state *state, int fd, const struct state_pin *pin)
{
	static struct log_limit limit = LOG_LIMIT_OF("refused", "not_kept");
	char path[STATE_PATH_SIZE];
	int error = state->error;

	if (error == 0) {
		state_pin_path(state, pin, path);
		error = bpf_obj_pin(fd, path);
	}
	if (error < 0)
		log_limited(&limit, LOG_WARNING,
			    "--keep %s: a new handle cannot be kept, and is "
			    "refused: %s",
			    state->path, strerror(-error));
	return error;
}

int state_open_pin(const struct state *state, const struct state_pin *pin)
{
	char path[STATE_PATH_SIZE];

	state_pin_path(state, pin, path);
	return bpf_obj_get(path);
}
