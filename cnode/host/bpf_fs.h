/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BPF_FS_H
#define BPF_FS_H

#include <stdbool.h>

#define BPF_FS_ROOT "/sys/fs/bpf" /* where it is usually mounted */

/* Mounts one at BPF_FS_ROOT. 1; 0 if it was mounted already; or -errno. */
int bpf_fs_mount(void);

/* Whether the open file is in a bpf file system. */
bool bpf_fs_has(int fd);

/*
 * Hides an open folder and all below it from the walks of this process, and
 * from bpf_fs_hides(), for good: what is in it is not for callers. To be called
 * before the first thread is started. 0 or -errno.
 */
int bpf_fs_hide(int folder);

/* Whether the open file or folder is the hidden folder, or below it. */
bool bpf_fs_hides(int fd);

/* A result other than 0 ends the visits and is returned. */
typedef int (*bpf_fs_visitor)(void *context, const char *path);

/*
 * Calls visit with the path of each mount, or of those below a folder, as /proc
 * lists them: another mount may hide one. -errno if /proc cannot be read.
 */
int bpf_fs_each_mount(const char *below, bpf_fs_visitor visit, void *context);
int bpf_fs_each_mount_below(int folder, bpf_fs_visitor visit, void *context);

/*
 * Calls visit with the path of each file in all of them. Skips what this
 * process may not read; -errno if descriptors, memory or /proc are missing.
 */
int bpf_fs_walk(bpf_fs_visitor visit, void *context);

/*
 * The same below a folder, or everywhere if root is -1; a file system that is
 * mounted several times is visited once.
 */
int bpf_fs_walk_once(int root, bpf_fs_visitor visit, void *context);

/* error, if it says that memory or descriptors have run out; otherwise 0. */
int bpf_fs_shortage(int error);

#endif
