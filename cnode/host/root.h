/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROOT_H
#define ROOT_H

#include "base/exit_status.h"

/* A folder below which callers may name things: --pin-root, --file-root. */
struct root {
	const char *path; /* as it is given; NULL: there is none */
	int fd;           /* -1: not open */
};

/*
 * Opens the folder that an option names, if any; it stays the one that it is
 * now. What is wrong with it has been logged.
 */
enum exit_status root_open(struct root *root, const char *option,
			   const char *path);
void root_close(struct root *root);

/* Whether this process may still enter it, for when it is who it will be. */
enum exit_status root_check(const struct root *root, const char *option);

#endif
