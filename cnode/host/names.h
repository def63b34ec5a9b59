/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NAMES_H
#define NAMES_H

#include <limits.h>
#include <stdint.h>

struct root;

/*
 * Objects that callers name and the kernel takes as a descriptor or an index.
 * Each function returns a descriptor for the caller to close, or -errno.
 */

/*
 * A process or thread by its id; before Linux 6.9 only the first thread of a
 * process. -ESRCH if there is none.
 */
int names_open_process(uint32_t pid);

/* The part of path below root, without leading slashes; NULL: not below. */
const char *names_below(const char *root, const char *path);

/* The current path of an open folder. 0 or -errno. */
int names_path_of(int folder, char path[PATH_MAX]);

/*
 * Resolves path from folder on by openat2(2), with O_PATH | flags. -EACCES if
 * resolve forbids it.
 */
int names_open_at(int folder, const char *path, uint64_t flags,
		  uint64_t resolve);

/*
 * A file below root. -EACCES for any path that leads elsewhere, whether it
 * exists or not, and if there is no root.
 */
int names_open_file(const struct root *root, const char *path);

/* A cgroup: /sys/fs/cgroup, or a folder below. */
int names_open_cgroup(const char *path);

/*
 * A network namespace below root, open to read. -EACCES as names_open_file(),
 * and for any other file.
 */
int names_open_netns(const struct root *root, const char *path);

/* The index of a network interface. 0 or -errno; -ENODEV if there is none. */
int names_interface(const char *name, uint32_t *index);

#endif
