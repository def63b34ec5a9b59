/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PIN_PATH_H
#define PIN_PATH_H

#include <limits.h>
#include <stdbool.h>

#include "host/root.h"

/*
 * Opens --pin-root, the folder below which callers may name pins; with a path
 * of NULL they may name any. It must be in a bpf file system, or above one.
 * Errors have been logged.
 */
enum exit_status pin_path_open_root(struct root *root, const char *path);

/* The path of a caller; text is valid until it is closed. */
struct pin_path {
	char text[PATH_MAX];
	int fd;         /* the pin, or the folder for a new one; -1: not open */
	bool is_hidden; /* -EACCES was for the folder of bpf_fs_hide() */
};

/*
 * Resolves an absolute path below the root, without symbolic links: the pin
 * itself, or its folder to pin to or unpin from. -EACCES for any path outside,
 * whether it exists or not. Without a root any path will do, but one into the
 * folder that this process hides. The descriptor is
 * opened even then, so that no lookup is left for when a lock is held: a remote
 * file system may take any time for it.
 */
int pin_path_open(struct pin_path *path, const struct root *root,
		  const char *text);
int pin_path_open_folder(struct pin_path *path, const struct root *root,
			 const char *text);

/*
 * The canonical path, for the audit trail: a caller may name a pin in many
 * ways. False if it cannot be read.
 */
bool pin_path_real(const struct pin_path *path, char real[PATH_MAX]);
void pin_path_close(struct pin_path *path);

#endif
