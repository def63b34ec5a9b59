/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KERNEL_BTF_H
#define KERNEL_BTF_H

#include <stdint.h>

/* All of the kernel's own types, for everyone to read. */
#define KERNEL_BTF_OWN "/sys/kernel/btf/vmlinux"

struct btf;

/*
 * The BTF of an open descriptor, and its id; fd stays the caller's, who frees
 * the BTF with btf__free(). -EINVAL if fd is no BTF's, or if libbpf cannot read
 * it; -EOPNOTSUPP for that of the kernel or of a module, which no map of keys
 * and values has; -E2BIG if it is larger than what the kernel itself takes.
 */
int kernel_btf_read(int fd, uint32_t *id, struct btf **btf);

/* The same by id. -EPERM: it takes CAP_SYS_ADMIN. */
int kernel_btf_open(uint32_t id, struct btf **btf);

/*
 * Loads it; returns a descriptor or the kernel's -errno. A map keeps the BTF
 * that it was created with: the descriptor can be closed then.
 */
int kernel_btf_load(const struct btf *btf);

/* Reads KERNEL_BTF_OWN: about 6 MiB, which takes a tenth of a second. */
int kernel_btf_read_own(struct btf **btf);

#endif
