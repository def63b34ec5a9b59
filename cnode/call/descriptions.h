/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DESCRIPTIONS_H
#define DESCRIPTIONS_H

#include "bpf/pins.h"
#include "call/call.h"

/* Parts of the descriptions of objects that all kinds have. */

/*
 * {Handle, Owner, Lifetime} for each handle of that kind, with --tls also what
 * the owner has proved; returns their number.
 */
uint32_t descriptions_write_owned(struct call *call,
				  const struct resource_kind *kind);

/*
 * How a node is connected, and by which names, of which that many bytes are
 * written, and the first in any case; NULL: it is none.
 */
void descriptions_write_proof(struct term_writer *w,
			      const struct handles_node *node, size_t most);

/* A key and an id, or none for 0. */
void descriptions_write_id(struct term_writer *w, const char *name,
			   uint32_t id);
void descriptions_write_bool(struct term_writer *w, const char *name,
			     bool value);

/* Two keys: pinned with a list of paths, handles with a list of handles. */
void descriptions_write_holders(struct call *call,
				const struct resource_kind *kind, uint32_t id,
				const struct pins *pins);

#endif
