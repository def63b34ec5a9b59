/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BTF_READ_H
#define BTF_READ_H

#include <stdint.h>

#include "types/plan.h"

struct btf;

/*
 * Makes the plan of a type, for a key or value of size bytes; 0: as many as the
 * type has. Threads may read one BTF at once. -ENOENT: type is 0, so there is
 * none; -EINVAL: it is of another size, or none that a key or value can have;
 * -E2BIG: it has too many parts, names or levels; -ENOMEM. The plan is the
 * caller's to free.
 */
int btf_read(const struct btf *btf, uint32_t type, uint32_t size,
	     struct plan **plan);

#endif
