/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NAMES_H
#define NAMES_H

#include <limits.h>
#include <stdint.h>

struct root;

/*
 * What a caller elsewhere names, where the kernel wants a descriptor or an
 * index: each returns one, the caller's to close, or -errno.
 */

/*
 * A process or thread of this host, by its id; before Linux 6.9 no thread but
 * the first of a process. -ESRCH for none of that id.
 */
int names_open_process(uint32_t pid);

/* The part of path below root, without slashes before it; NULL: not below. */
const char *names_below(const char *root, const char *path);

/* Where an open folder is now, if not where it was. 0 or -errno. */
int names_path_of(int folder, char path[PATH_MAX]);

/*
 * What path names from folder on, without opening it: O_PATH with flags, and
 * with resolve of openat2(2). -EACCES for what resolve forbids.
 */
int names_open_at(int folder, const char *path, uint64_t flags,
		  uint64_t resolve);

/*
 * A file below root, without following what leads out of it. -EACCES for all
 * that is not below it, whether it exists or not, and where there is no root.
 */
int names_open_file(const struct root *root, const char *path);

/* A folder of the cgroup file system, /sys/fs/cgroup or below. */
int names_open_cgroup(const char *path);

/* The index of a network interface; -ENODEV for none of that name. */
int names_interface(const char *name, uint32_t *index);

#endif
