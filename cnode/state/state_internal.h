/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STATE_INTERNAL_H
#define STATE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "state/state.h"

/* Shared by the files of this folder. */

/*
 * An entry of an array. The first one of each array says of which version it
 * is. A record begins in one whose head is STATE_HEAD, and goes on in others,
 * whose head is 0 as that of free ones.
 */
#define STATE_HEAD 0x6b657074u
#define STATE_ENTRY_BYTES 112

struct state_entry {
	_Atomic uint32_t head; /* written last */
	uint32_t next;         /* the entry where the record goes on; 0: none */
	uint32_t size;         /* bytes of the whole record */
	uint32_t sum;          /* CRC-32 of size and all bytes */
	unsigned char bytes[STATE_ENTRY_BYTES];
};

_Static_assert(sizeof(struct state_entry) == 128, "as it is in the kernel");

struct state_version {
	char magic[12];
	uint32_t version;
	uint32_t sum; /* CRC-32 of what is before it */
};

#define STATE_MAGIC "ebpf_cnode\n"

#define STATE_ENTRIES 8192u /* of an array: 1 MiB */
#define STATE_SEGMENTS 256u /* arrays */

struct state_segment {
	struct state_entry *entries;
	/* in memory of this process, so that nobody else can change them: */
	uint32_t *links; /* the next entry of a record, or of the free list */
	uint32_t *sizes; /* of the record that begins there; 0: none does */
};

struct state_found {
	struct state_pin pin;
	bool claimed;
};

struct state {
	const char *path;
	int folder;
	uint32_t files;
	int error;
	struct state_found *found; /* sorted */
	size_t found_count;
	struct state_shared *shared;
	bool has_segment[STATE_SEGMENTS]; /* as the folder was listed */
	pthread_mutex_t growing;          /* taken before lock */
	pthread_mutex_t lock;             /* guards the rest */
	struct state_segment segments[STATE_SEGMENTS];
	uint32_t segment_count;
	uint32_t first_free;
	uint32_t free_count;
};

/* --- state_folder.c ------------------------------------------------------- */

/* Lists the folder: pins, arrays, and what is neither, which is logged. */
int state_folder_list(struct state *state);

/* The path of the array of that number. */
void state_folder_segment(const struct state *state, uint32_t number,
			  char path[STATE_PATH_SIZE]);

/* --- state_records.c ------------------------------------------------------ */

bool state_records_equal(const struct state *state, uint32_t record,
			 const void *bytes, size_t size);

/* --- state_shared.c ------------------------------------------------------- */

struct state_shared *state_shared_new(void);
void state_shared_free(struct state_shared *shared); /* takes NULL */

/* --- state_segments.c ----------------------------------------------------- */

/* Maps the arrays of the folder; then, if there are none, makes the first. */
enum exit_status state_segments_load(struct state *state);
void state_segments_begin(struct state *state);
int state_segments_grow(struct state *state);
void state_segments_unmap(struct state *state);

#endif
