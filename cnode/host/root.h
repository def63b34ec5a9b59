/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROOT_H
#define ROOT_H

#include "base/exit_status.h"

/* A folder below which callers may name things: --pin-root, --file-root. */
struct root {
	const char *path; /* as given; NULL: no root */
	int fd;           /* -1: not open */
};

/*
 * Opens the folder that an option names, if any. Renaming or replacing it later
 * changes nothing. Errors have been logged.
 */
enum exit_status root_open(struct root *root, const char *option,
			   const char *path);
void root_close(struct root *root);

/* Whether this process may enter it, after its user has changed. */
enum exit_status root_check(const struct root *root, const char *option);

#endif
