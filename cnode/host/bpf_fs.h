/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BPF_FS_H
#define BPF_FS_H

#include <stdbool.h>

#define BPF_FS_ROOT "/sys/fs/bpf" /* the usual place of the bpf file system */

/* Mounts one at BPF_FS_ROOT: 1; 0 if one was there; or -errno. */
int bpf_fs_mount(void);

/* Whether what is open is in one. */
bool bpf_fs_has(int fd);

/* What is not 0 ends the visits, and is returned from them. */
typedef int (*bpf_fs_visitor)(void *context, const char *path);

/*
 * Calls visit for where each is mounted: all, or those that are mounted below a
 * folder. They are as mounted as /proc says: another mount may hide one. -errno
 * where that cannot be read.
 */
int bpf_fs_each_mount(const char *below, bpf_fs_visitor visit, void *context);
int bpf_fs_each_mount_below(int folder, bpf_fs_visitor visit, void *context);

/*
 * Calls visit for each file in all of them. What may not be looked at is passed
 * over; -errno where one cannot look for want of descriptors, of memory or of
 * /proc.
 */
int bpf_fs_walk(bpf_fs_visitor visit, void *context);

/* The same, below a folder, or with -1 in all; but what is mounted at several
 * places is visited at one of them. */
int bpf_fs_walk_once(int root, bpf_fs_visitor visit, void *context);

/* error, if it is -errno for want of memory or descriptors; 0 else. */
int bpf_fs_shortage(int error);

#endif
