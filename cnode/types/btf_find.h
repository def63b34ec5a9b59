/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BTF_FIND_H
#define BTF_FIND_H

#include <stdint.h>

struct btf;

/*
 * The id of the type of that name: of several the first struct, or else union,
 * typedef, enum or int. 0: there is none. Looks at all types, about a
 * millisecond for those of a kernel.
 */
uint32_t btf_find(const struct btf *btf, const char *name);

#endif
