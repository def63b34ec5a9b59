/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arrays that hold the records: made, pinned, and mapped into memory. What
 * the process has written there is in the kernel at once, and stays.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include "base/log.h"
#include "bpf/map.h"
#include "state/state_internal.h"

#define SEGMENT_SIZE (STATE_ENTRIES * sizeof(struct state_entry))

/* --- Versions ------------------------------------------------------------- */

static uint32_t version_sum(const struct state_version *version)
{
	return (uint32_t)crc32(0, (const unsigned char *)version,
			       offsetof(struct state_version, sum));
}

static void write_version(struct state_entry *entry)
{
	struct state_version version = { .magic = STATE_MAGIC,
					 .version = STATE_VERSION };

	version.sum = version_sum(&version);
	memcpy(entry->bytes, &version, sizeof(version));
}

/* 0: it is damaged. */
static uint32_t read_version(const struct state_entry *entry)
{
	struct state_version version;

	memcpy(&version, entry->bytes, sizeof(version));
	return memcmp(version.magic, STATE_MAGIC, sizeof(version.magic)) == 0 &&
			       version.sum == version_sum(&version)
		       ? version.version
		       : 0;
}

/* --- Mapping -------------------------------------------------------------- */

static void unmap(struct state_segment *segment)
{
	if (segment->entries)
		munmap(segment->entries, SEGMENT_SIZE);
	free(segment->links);
	free(segment->sizes);
	*segment = (struct state_segment){ .entries = NULL };
}

void state_segments_unmap(struct state *state)
{
	for (uint32_t i = 0; i < state->segment_count; i++)
		unmap(&state->segments[i]);
	state->segment_count = 0;
}

static int check_array(int fd)
{
	struct bpf_map_info info = { 0 };
	uint32_t size = sizeof(info);
	int error = resource_check_kind(fd, &map_kind);

	if (error == 0)
		error = bpf_obj_get_info_by_fd(fd, &info, &size);
	if (error < 0)
		return error;
	return info.type == BPF_MAP_TYPE_ARRAY && info.key_size == 4 &&
			       info.value_size == sizeof(struct state_entry) &&
			       info.max_entries == STATE_ENTRIES &&
			       info.map_flags & BPF_F_MMAPABLE
		       ? 0
		       : -EINVAL;
}

/* The mapping lasts when fd is closed. NULL with errno. */
static struct state_entry *map_in(int fd, struct state_segment *segment)
{
	void *entries = mmap(NULL, SEGMENT_SIZE, PROT_READ | PROT_WRITE,
			     MAP_SHARED, fd, 0);

	if (entries == MAP_FAILED)
		return NULL;
	segment->entries = entries;
	segment->links = calloc(STATE_ENTRIES, sizeof(*segment->links));
	segment->sizes = calloc(STATE_ENTRIES, sizeof(*segment->sizes));
	if (segment->links && segment->sizes)
		return entries;
	unmap(segment);
	errno = ENOMEM;
	return NULL;
}

/* --- Growing -------------------------------------------------------------- */

static void add_free(struct state *state, uint32_t number)
{
	struct state_segment *segment = &state->segments[number];

	for (uint32_t i = STATE_ENTRIES; i-- > 1;) {
		segment->links[i] = state->first_free;
		state->first_free = number * STATE_ENTRIES + i;
	}
	state->free_count += STATE_ENTRIES - 1;
}

/* Pinned last, when all that a later start reads is there. */
static int make(const struct state *state, uint32_t number,
		struct state_segment *segment)
{
	char path[STATE_PATH_SIZE];
	int fd = map_new_hidden(sizeof(struct state_entry), STATE_ENTRIES);
	struct state_entry *entries;
	int error;

	if (fd < 0)
		return fd;
	entries = map_in(fd, segment);
	error = entries ? 0 : -errno;
	if (entries) {
		write_version(entries);
		state_folder_segment(state, number, path);
		error = bpf_obj_pin(fd, path);
	}
	if (error == 0) {
		close(fd);
		return 0;
	}
	unmap(segment);
	map_close_hidden(fd);
	return error;
}

int state_segments_grow(struct state *state)
{
	struct state_segment segment = { .entries = NULL };
	uint32_t number = state->segment_count;
	int error;

	if (number == STATE_SEGMENTS)
		return -ENOSPC;
	error = make(state, number, &segment);
	if (!segment.links) /* it is left empty */
		return error;
	pthread_mutex_lock(&state->lock);
	state->segments[number] = segment;
	state->segment_count++;
	add_free(state, number);
	pthread_mutex_unlock(&state->lock);
	return 0;
}

/* --- Loading -------------------------------------------------------------- */

static int open_array(const struct state *state, uint32_t number)
{
	char path[STATE_PATH_SIZE];
	int fd, error;

	state_folder_segment(state, number, path);
	fd = bpf_obj_get(path);
	error = fd < 0 ? fd : check_array(fd);
	if (error == 0)
		error = map_hide(fd);
	if (error < 0 && fd >= 0)
		close(fd);
	return error < 0 ? error : fd;
}

/* NULL with errno. */
static struct state_entry *open_segment(struct state *state, uint32_t number)
{
	struct state_segment *segment = &state->segments[number];
	struct state_entry *entries;
	int fd;

	if (!state->has_segment[number]) {
		log_warning(
			"--keep %s: records%u is missing, with all that was "
			"in it",
			state->path, number);
		errno = -make(state, number, segment);
		return segment->entries;
	}
	fd = open_array(state, number);
	if (fd < 0) {
		errno = -fd;
		return NULL;
	}
	entries = map_in(fd, segment);
	close(fd);
	return entries;
}

static enum exit_status refuse_version(const struct state *state,
				       uint32_t version)
{
	log_error("--keep %s: a newer ebpf_cnode wrote it, in version %u of "
		  "its records; this one reads up to version %u: start the "
		  "newer one, or drop what is kept by --forget",
		  state->path, version, STATE_VERSION);
	return STATUS_USAGE;
}

static enum exit_status check_version(const struct state *state,
				      uint32_t number,
				      struct state_entry *entry)
{
	uint32_t version = read_version(entry);

	if (version > STATE_VERSION)
		return refuse_version(state, version);
	if (version == 0) {
		log_warning("--keep %s: records%u is damaged; what is whole in "
			    "it is read",
			    state->path, number);
		write_version(entry);
	}
	return STATUS_OK;
}

void state_give_up(struct state *state, const char *what, int error)
{
	log_error("--keep %s: %s: %s; handles of before are not back, and no "
		  "new ones can be made until this is mended, or dropped by "
		  "--forget",
		  state->path, what, strerror(-error));
	state_segments_unmap(state);
	state->error = error;
}

/* How many there should be; they are made in order, and never removed. */
static uint32_t count_segments(const struct state *state)
{
	uint32_t count = STATE_SEGMENTS;

	while (count > 0 && !state->has_segment[count - 1])
		count--;
	return count;
}

enum exit_status state_segments_load(struct state *state)
{
	uint32_t count = count_segments(state);
	enum exit_status status = STATUS_OK;
	struct state_entry *entries;

	for (uint32_t i = 0; i < count && status == STATUS_OK; i++) {
		entries = open_segment(state, i);
		if (!entries) {
			state_give_up(state, "its records cannot be opened",
				      -errno);
			break;
		}
		state->segment_count++;
		status = check_version(state, i, entries);
	}
	return status;
}

void state_segments_begin(struct state *state)
{
	int error = state_segments_grow(state);

	if (error < 0)
		state_give_up(state, "no records can be made", error);
}
