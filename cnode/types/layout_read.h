/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LAYOUT_READ_H
#define LAYOUT_READ_H

#include "term/term.h"
#include "types/plan.h"

/*
 * Makes the plan of a layout, for a key or value of size bytes; 0: of the size
 * that the layout has. -EINVAL: it is none, or of another size; -E2BIG: it has
 * too many parts, names or levels; -ENOMEM. It is the caller's to free.
 */
int layout_read(struct term t, uint32_t size, struct plan **plan);

#endif
