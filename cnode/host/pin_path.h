/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PIN_PATH_H
#define PIN_PATH_H

#include <limits.h>
#include <stdbool.h>

#include "host/root.h"

/*
 * Opens the folder that all pins are below which callers name, by --pin-root;
 * a path of NULL is none, and any path will do. It is in a bpf file system, or
 * above one. What is wrong with it has been logged.
 */
enum exit_status pin_path_open_root(struct root *root, const char *path);

/* A path of a caller, to be used as text until it is closed. */
struct pin_path {
	char text[PATH_MAX];
	int fd; /* -1: not open; of a place, the folder that it is in */
};

/*
 * Finds an absolute path below the root, by no symbolic link: what is there,
 * to be opened; or its place, to be pinned to or unpinned. -EACCES for what is
 * not below the root, whether it exists or not. Without a root it is any path,
 * and what is there, or the folder of a place, is open all the same, unless it
 * is no place for a pin: to look it up can take as long as the server of a file
 * system likes, and is not to be done with a lock.
 */
int pin_path_open(struct pin_path *path, const struct root *root,
		  const char *text);
int pin_path_open_place(struct pin_path *path, const struct root *root,
			const char *text);

/*
 * Where a place is that was found, by the kernel's name of its folder: for whom
 * it is told, as a caller may name it in many ways. False: it cannot be told.
 */
bool pin_path_real(const struct pin_path *path, char real[PATH_MAX]);
void pin_path_close(struct pin_path *path);

#endif
