/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LAYOUT_WRITE_H
#define LAYOUT_WRITE_H

#include "term/term.h"
#include "types/plan.h"

/* Writes the layout of which layout_read() makes the same plan. */
void layout_write(const struct plan *plan, struct term_writer *w);

#endif
