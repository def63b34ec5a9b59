/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LOADER_INTERNAL_H
#define LOADER_INTERNAL_H

#include "loader/loader_slots.h"

/* Shared by loader.c and loader_ask.c. */
struct loader {
	struct loader_options options;
	struct loader_slots slots;
	atomic_bool gone;
	atomic_bool silent; /* it has not answered in time */
};

/* Either logs once that it is so. */
void loader_note_gone(struct loader *loader);
void loader_note_silent(struct loader *loader, bool silent);

#endif
