/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CGROUPS_H
#define CGROUPS_H

#include <stdint.h>

/* The cgroups of version 2, by their names and ids. */

/* Their folder, to name places in it only; -1: there is none. */
int cgroups_open(void);

/* That of the folder itself. 0 or -errno. */
int cgroups_root_id(int root, uint64_t *id);

/* A result other than 0 ends the visits and is returned. */
typedef int (*cgroups_visitor)(void *context, const char *name, uint64_t id);

/*
 * Calls visit with each cgroup in the one at path below root, "." for root
 * itself; the id is the one of bpf_get_current_cgroup_id(). One that is gone,
 * or may not be read, has none. -errno if descriptors or memory are missing.
 */
int cgroups_list(int root, const char *path, cgroups_visitor visit,
		 void *context);

#endif
