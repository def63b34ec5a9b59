/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The folder: whose it is, and what is in it. Files that are none of this
 * node's are left alone.
 */
#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "bpf/map.h"
#include "host/bpf_fs.h"
#include "state/state_internal.h"

#define MAX_FOREIGN_LINES 10
#define ANY_USER ((uid_t)-1)
#define ROOT_INODE 1  /* of a bpf file system */
#define LOCK_TRIES 20 /* as the process before may be ending */
#define LOCK_PAUSE_MS 50

/* --- Opening -------------------------------------------------------------- */

static bool is_in_bpf_fs(const char *path)
{
	char copy[PATH_MAX];
	int above;
	bool is;

	if (strlen(path) >= sizeof(copy))
		return false;
	memcpy(copy, path, strlen(path) + 1);
	above = open(dirname(copy), O_PATH | O_DIRECTORY | O_CLOEXEC);
	is = above >= 0 && bpf_fs_has(above);
	if (above >= 0)
		close(above);
	return is;
}

/* A reboot leaves bpf file systems empty, so it is made again each time. */
static void make_folder(const char *path, uid_t user, gid_t group)
{
	if (!is_in_bpf_fs(path) || mkdir(path, 0700) < 0)
		return;
	if (lchown(path, user, group) < 0) {
		rmdir(path);
		return;
	}
	log_info("made the folder %s", path);
}

static enum exit_status refuse(const char *path, const char *why)
{
	log_error("--keep %s: %s", path, why);
	return STATUS_USAGE;
}

static enum exit_status check_folder(const char *path, int folder, uid_t user)
{
	struct stat status;

	if (fstat(folder, &status) < 0)
		return refuse(path, strerror(errno));
	if (!bpf_fs_has(folder))
		return refuse(path, "not in a bpf file system; give a folder "
				    "such as " BPF_FS_ROOT "/ebpf_cnode_kept");
	if (status.st_ino == ROOT_INODE)
		return refuse(path, "it is the whole file system, where others "
				    "pin as well; give a folder in it");
	if (user != ANY_USER && status.st_uid != user) {
		log_error("--keep %s: it belongs to the user %u, and this "
			  "process runs as %u: what another has kept is not "
			  "taken over; start it as that user, or give another "
			  "folder",
			  path, status.st_uid, user);
		return STATUS_USAGE;
	}
	if (status.st_mode & (S_IRWXG | S_IRWXO))
		return refuse(path, "others may enter it; `chmod 0700' it");
	return STATUS_OK;
}

static enum exit_status lock_folder(const char *path, int folder)
{
	int result = flock(folder, LOCK_EX | LOCK_NB);

	for (unsigned i = 0;
	     result < 0 && errno == EWOULDBLOCK && i < LOCK_TRIES; i++) {
		poll(NULL, 0, LOCK_PAUSE_MS);
		result = flock(folder, LOCK_EX | LOCK_NB);
	}
	if (result == 0)
		return STATUS_OK;
	if (errno == EWOULDBLOCK)
		log_error(
			"--keep %s: another process has it; each C node needs "
			"a folder of its own",
			path);
	else
		log_error("--keep %s: cannot lock it: %s", path,
			  strerror(errno));
	return STATUS_OTHER;
}

/* fdopendir(3) would take another system call. */
static DIR *open_entries(int folder)
{
	char path[STATE_PATH_SIZE];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", folder);
	return opendir(path);
}

static int count_files(int folder, uint32_t *count)
{
	DIR *entries = open_entries(folder);

	if (!entries)
		return -errno;
	*count = 0;
	while (readdir(entries))
		++*count;
	closedir(entries);
	return 0;
}

static struct state *new_state(const char *path, int folder, uint32_t files)
{
	struct state *state = calloc(1, sizeof(*state));

	if (!state)
		return NULL;
	state->shared = state_shared_new();
	if (!state->shared) {
		free(state);
		return NULL;
	}
	state->path = path;
	state->folder = folder;
	state->files = files;
	pthread_mutex_init(&state->growing, NULL);
	pthread_mutex_init(&state->lock, NULL);
	return state;
}

static enum exit_status open_checked(struct state **state, const char *path,
				     int folder, uid_t user)
{
	enum exit_status status = check_folder(path, folder, user);
	uint32_t files = 0;
	int error;

	if (status == STATUS_OK)
		status = lock_folder(path, folder);
	if (status != STATUS_OK)
		return status;
	error = count_files(folder, &files);
	if (error == 0)
		error = bpf_fs_hide(folder);
	if (error < 0)
		return refuse(path, strerror(-error));
	*state = new_state(path, folder, files);
	if (*state)
		return STATUS_OK;
	log_error("out of memory");
	return STATUS_OTHER;
}

static enum exit_status open_folder(struct state **state, const char *path,
				    uid_t user)
{
	enum exit_status status;
	int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (folder < 0) {
		log_error("--keep %s: %s; give a folder of a bpf file system, "
			  "such as " BPF_FS_ROOT "/ebpf_cnode_kept",
			  path, strerror(errno));
		return STATUS_USAGE;
	}
	status = open_checked(state, path, folder, user);
	if (status != STATUS_OK)
		close(folder);
	return status;
}

enum exit_status state_open(struct state **state, const char *path, uid_t user,
			    gid_t group)
{
	make_folder(path, user, group);
	return open_folder(state, path, user);
}

enum exit_status state_open_any(struct state **state, const char *path)
{
	return open_folder(state, path, ANY_USER);
}

void state_close(struct state *state)
{
	if (!state)
		return;
	state_segments_unmap(state);
	state_shared_free(state->shared);
	close(state->folder);
	pthread_mutex_destroy(&state->growing);
	pthread_mutex_destroy(&state->lock);
	free(state->found);
	free(state);
}

const char *state_path(const struct state *state)
{
	return state->path;
}

int state_folder(const struct state *state)
{
	return state->folder;
}

uint32_t state_files(const struct state *state)
{
	return state->files;
}

int state_error(const struct state *state)
{
	return state->error;
}

/* --- Names ---------------------------------------------------------------- */

void state_pin_path(const struct state *state, const struct state_pin *pin,
		    char path[STATE_PATH_SIZE])
{
	int used = snprintf(path, STATE_PATH_SIZE, "/proc/self/fd/%d/h%016llx",
			    state->folder, (unsigned long long)pin->random);

	if (pin->number > 0)
		snprintf(path + used, STATE_PATH_SIZE - (size_t)used, "_%u",
			 pin->number);
}

void state_folder_segment(const struct state *state, uint32_t number,
			  char path[STATE_PATH_SIZE])
{
	snprintf(path, STATE_PATH_SIZE, "/proc/self/fd/%d/records%u",
		 state->folder, number);
}

/* As state_pin_path() writes it, and no other. */
static bool read_pin(const char *name, struct state_pin *pin)
{
	char again[40], *end = NULL;

	if (name[0] != 'h')
		return false;
	pin->random = strtoull(name + 1, &end, 16);
	pin->number = *end == '_' ? (uint32_t)strtoul(end + 1, NULL, 10) : 0;
	snprintf(again, sizeof(again),
		 pin->number > 0 ? "h%016llx_%u" : "h%016llx",
		 (unsigned long long)pin->random, pin->number);
	return strcmp(name, again) == 0;
}

static bool read_segment(const char *name, uint32_t *number)
{
	static const char prefix[] = "records";
	char again[32];

	if (strncmp(name, prefix, sizeof(prefix) - 1) != 0)
		return false;
	*number = (uint32_t)strtoul(name + sizeof(prefix) - 1, NULL, 10);
	snprintf(again, sizeof(again), "records%u", *number);
	return *number < STATE_SEGMENTS && strcmp(name, again) == 0;
}

/* --- Listing -------------------------------------------------------------- */

static int compare_pins(const void *a, const void *b)
{
	const struct state_pin *left = a, *right = b;

	if (left->random != right->random)
		return left->random < right->random ? -1 : 1;
	return (left->number > right->number) - (left->number < right->number);
}

static int add_found(struct state *state, const struct state_pin *pin,
		     size_t *capacity)
{
	struct state_found *found = state->found;

	if (state->found_count == *capacity) {
		*capacity = *capacity > 0 ? 2 * *capacity : 256;
		found = realloc(found, *capacity * sizeof(*found));
		if (!found)
			return -ENOMEM;
		state->found = found;
	}
	found[state->found_count++] = (struct state_found){ .pin = *pin };
	return 0;
}

static void log_foreign(const struct state *state, const char *name,
			unsigned number)
{
	if (number < MAX_FOREIGN_LINES)
		log_warning("--keep %s: %s is none of this node's, and is left "
			    "alone",
			    state->path, name);
	else if (number == MAX_FOREIGN_LINES)
		log_warning("--keep %s: there are more files that are none of "
			    "this node's",
			    state->path);
}

static int list_entry(struct state *state, const struct dirent *entry,
		      size_t *capacity, unsigned *foreign)
{
	struct state_pin pin;
	uint32_t number;

	if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
		return 0;
	if (entry->d_type == DT_REG && read_pin(entry->d_name, &pin))
		return add_found(state, &pin, capacity);
	if (entry->d_type == DT_REG && read_segment(entry->d_name, &number))
		state->has_segment[number] = true;
	else
		log_foreign(state, entry->d_name, (*foreign)++);
	return 0;
}

int state_folder_list(struct state *state)
{
	DIR *entries = open_entries(state->folder);
	const struct dirent *entry;
	size_t capacity = 0;
	unsigned foreign = 0;
	int error = 0;

	if (!entries)
		return -errno;
	while (error == 0 && (entry = readdir(entries)))
		error = list_entry(state, entry, &capacity, &foreign);
	closedir(entries);
	if (state->found_count > 0)
		qsort(state->found, state->found_count, sizeof(*state->found),
		      compare_pins);
	return error;
}

bool state_claim(struct state *state, const struct state_pin *pin)
{
	struct state_found *found =
		state->found_count == 0
			? NULL
			: bsearch(pin, state->found, state->found_count,
				  sizeof(*found), compare_pins);

	if (found)
		found->claimed = true;
	return found != NULL;
}

/* --- Pinning -------------------------------------------------------------- */

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

/* --- Removing ------------------------------------------------------------- */

int state_unpin(const struct state *state, const struct state_pin *pin)
{
	char path[STATE_PATH_SIZE];

	state_pin_path(state, pin, path);
	return unlink(path) < 0 ? -errno : 0;
}

uint32_t state_unpin_rest(struct state *state)
{
	uint32_t removed = 0;
	int error;

	for (size_t i = 0; i < state->found_count; i++) {
		if (state->found[i].claimed)
			continue;
		error = state_unpin(state, &state->found[i].pin);
		if (error == 0)
			removed++;
		else
			log_warning(
				"--keep %s: h%016llx cannot be removed: %s",
				state->path,
				(unsigned long long)state->found[i].pin.random,
				strerror(-error));
	}
	free(state->found);
	state->found = NULL;
	state->found_count = 0;
	return removed;
}

static int remove_path(const char *path, int error)
{
	return unlink(path) < 0 ? -errno : error;
}

int state_forget(struct state *state, state_forgetter visit, void *context)
{
	char path[STATE_PATH_SIZE];
	int error = state_folder_list(state);

	for (size_t i = 0; i < state->found_count; i++) {
		state_pin_path(state, &state->found[i].pin, path);
		visit(path, context);
		error = remove_path(path, error);
	}
	for (uint32_t i = 0; i < STATE_SEGMENTS; i++) {
		if (!state->has_segment[i])
			continue;
		state_folder_segment(state, i, path);
		error = remove_path(path, error);
	}
	return error;
}
