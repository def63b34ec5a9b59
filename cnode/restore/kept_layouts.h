/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPT_LAYOUTS_H
#define KEPT_LAYOUTS_H

#include <stdint.h>

#include "term/term.h"
#include "types/types.h"

/*
 * The layouts of views while handles are restored: by the record that they are
 * in, so that views which shared them share them again.
 */
struct kept_layouts;

/* NULL: no memory. */
struct kept_layouts *kept_layouts_new(struct budget *budget);
void kept_layouts_free(struct kept_layouts *layouts); /* takes NULL */

/*
 * Reads those of a record, {KeyLayout | 0, ValueLayout | 0}; records come in
 * order. -ENOMEM: it could not even be noted that there are some.
 */
int kept_layouts_add(struct kept_layouts *layouts, uint32_t record,
		     struct term pair);

/*
 * Those of a record, without a reference for the caller. -EBADMSG: there are
 * none; -ENOMEM: the budget is too small for them.
 */
int kept_layouts_find(const struct kept_layouts *layouts, uint32_t record,
		      struct types_plans **plans);

#endif
