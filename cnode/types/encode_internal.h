/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENCODE_INTERNAL_H
#define ENCODE_INTERNAL_H

#include "types/encode.h"

struct encoding {
	const struct plan *plan;
	enum plan_form form;
	struct encode_path *path;
	/* a bit for each step: a map that is being read has that member */
	uint64_t given[PLAN_MAX_STEPS / 64];
};

/* An atom, a binary or a list of characters, the last in path->string. */
bool encode_read_name(struct encoding *e, struct term t, const char **name,
		      size_t *size);

/* Writes what has no parts. The bytes are zeros before. */
bool encode_scalar(struct encoding *e, const struct plan_step *step,
		   struct term t, char *at);

#endif
