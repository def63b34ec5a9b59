/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STATE_H
#define STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/exit_status.h"

/*
 * What outlives this process: a folder of a bpf file system that is its own,
 * with pins of kernel objects, and records. Safe to use from any thread, once
 * loaded.
 *
 * A record is some bytes in the memory of a pinned array, which the kernel
 * keeps. It is there in whole or not at all, whenever the process is killed.
 */
struct state;

#define STATE_VERSION 1
#define STATE_MAX_RECORD (1u << 20) /* bytes */

/*
 * Opens the folder, which is made where it is missing, and locks it: one
 * process has it at a time. It must belong to that user, or it is refused.
 * Nothing in it is read but the number of its files. Errors have been logged;
 * path is kept.
 */
enum exit_status state_open(struct state **state, const char *path, uid_t user,
			    gid_t group);

/* The same of any user's, to forget what is in it; it is not made. */
enum exit_status state_open_any(struct state **state, const char *path);
/* Takes NULL. What is kept stays. */
void state_close(struct state *state);

const char *state_path(const struct state *state);
int state_folder(const struct state *state);
/* As the folder was opened: no fewer than there are pins of objects. */
uint32_t state_files(const struct state *state);

/*
 * Reads the folder, as the user that this process has become. What is broken in
 * it is logged, and does not fail: then nothing can be kept, and state_error()
 * says why. It fails where a newer version has written it.
 */
enum exit_status state_load(struct state *state);

/* Keeps nothing from now on, for that -errno, which is logged with what failed.
 */
void state_give_up(struct state *state, const char *what, int error);

/* 0, or the -errno that each attempt to keep something gets. */
int state_error(const struct state *state);

/* --- Records -------------------------------------------------------------- */

/* The first byte of each record: what it is of. */
enum state_type {
	STATE_NODE = 1, /* of this node: its name, and that of references */
	STATE_HANDLE,
	STATE_HOLDING, /* a node that holds a shared handle */
	STATE_CHARGE,  /* of a map, for its memory */
	STATE_PART,    /* of several handles: see state_share() */
	STATE_OWNER,   /* a node that holds handles: what it has proved */
};

/*
 * Takes room for a record of so many bytes, which state_write() fills. -ENOSPC:
 * there are too many; or why the memory could not be made.
 */
int state_take(struct state *state, size_t size, uint32_t *record);

/* Fills the room; from then on the record is there. size is that of the room.
 */
void state_write(struct state *state, uint32_t record, const void *bytes,
		 size_t size);

/* Ends a record, or gives back its room. Makes no system call. */
void state_drop(struct state *state, uint32_t record);

/* Calls visit for each record; it may drop this one, and take no other. */
typedef void (*state_visitor)(uint32_t record, const void *bytes, size_t size,
			      void *context);
int state_each(struct state *state, state_visitor visit, void *context);

/*
 * A record that others need, one for all that have the same bytes.
 * state_share() takes one more of it, or makes it; state_unshare() ends it with
 * the last. Fails as state_take().
 */
int state_share(struct state *state, const void *bytes, size_t size,
		uint32_t *record);
void state_unshare(struct state *state, uint32_t record);

/*
 * Before the first state_share(): each of those that were found, -ENOMEM; once
 * more for each that needs it, false: there is no such record; and the end of
 * those that nobody needs.
 */
int state_shared_found(struct state *state, uint32_t record, const void *bytes,
		       size_t size);
bool state_share_again(struct state *state, uint32_t record);
void state_drop_unshared(struct state *state);

/* --- Pins ----------------------------------------------------------------- */

/*
 * A pin has the name of 64 random bits, and a number where an object has
 * several.
 */
struct state_pin {
	uint64_t random;
	uint32_t number;
};

#define STATE_PATH_SIZE 64
#define STATE_MAX_PINS 4096 /* of one object: one for each processor */

/* Its path, for bpf(2). */
void state_pin_path(const struct state *state, const struct state_pin *pin,
		    char path[STATE_PATH_SIZE]);

/* 0 or -errno, as bpf(2) and unlink(2) have it. */
int state_pin(const struct state *state, int fd, const struct state_pin *pin);
int state_unpin(const struct state *state, const struct state_pin *pin);

/* Opens its object. A descriptor or -errno. */
int state_open_pin(const struct state *state, const struct state_pin *pin);

/* Whether the folder had that pin when it was loaded. Marks it as claimed. */
bool state_claim(struct state *state, const struct state_pin *pin);

/*
 * Removes the pins that nobody has claimed, which are of what was half done,
 * and returns how many.
 */
uint32_t state_unpin_rest(struct state *state);

/* --- Forgetting ----------------------------------------------------------- */

/* Calls visit for each pin, by its path, before it is removed. */
typedef void (*state_forgetter)(const char *path, void *context);

/*
 * Removes all pins and records, of any version and node. The state must not be
 * loaded. 0, or the last -errno.
 */
int state_forget(struct state *state, state_forgetter visit, void *context);

#endif
