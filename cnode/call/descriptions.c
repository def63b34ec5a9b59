/* SPDX-License-Identifier: Apache-2.0 */
/* Who holds an object: handles with their owners, and pins. */
#include "call/descriptions.h"

#include <string.h>

#include "call/objects.h"
#include "tls/cert_names.h"

#define MOST_OF_EACH 128 /* bytes of names, for each handle */

struct listing {
	struct call *call;
	uint32_t count;
};

static void write_handle(const struct handles_info *info, void *context)
{
	struct listing *listing = context;

	objects_write_handle(listing->call, info->resource, info->ref);
	listing->count++;
}

/* #{tls => Version | none, names => [Binary]} */
void descriptions_write_proof(struct term_writer *w,
			      const struct handles_node *node, size_t most)
{
	size_t map = term_write_map_open(w), list;
	const char *name = NULL;
	size_t written = 0;
	uint32_t count = 0;

	term_write_atom(w, "tls");
	term_write_atom(w, node ? node->tls : "none");
	term_write_atom(w, "names");
	list = term_write_list_open(w);
	while (node && (name = cert_names_next(node->names, name))) {
		written += strlen(name);
		if (count > 0 && written > most)
			break;
		term_write_binary(w, name, strlen(name));
		count++;
	}
	term_write_list_close(w, list, count);
	term_write_map_close(w, map, 2);
}

static void write_owned_handle(const struct handles_info *info, void *context)
{
	struct listing *listing = context;
	struct term_writer *out = listing->call->out;

	bool tls = listing->call->context->common->options.tls;

	term_write_tuple(out, tls ? 4 : 3);
	write_handle(info, context);
	if (info->lifetime == HANDLES_PROCESS)
		term_write_raw(out, info->process, info->process_size);
	else
		term_write_atom(out, info->owner ? info->owner->name : "none");
	term_write_atom(out, handles_lifetimes[info->lifetime]);
	if (tls)
		descriptions_write_proof(out, info->owner, MOST_OF_EACH);
}

uint32_t descriptions_write_owned(struct call *call,
				  const struct resource_kind *kind)
{
	struct listing listing = { .call = call };

	handles_each(call->context->common->handles, kind, 0,
		     write_owned_handle, &listing);
	return listing.count;
}

void descriptions_write_id(struct term_writer *w, const char *name, uint32_t id)
{
	term_write_atom(w, name);
	if (id > 0)
		term_write_uint(w, id);
	else
		term_write_atom(w, "none");
}

void descriptions_write_bool(struct term_writer *w, const char *name,
			     bool value)
{
	term_write_atom(w, name);
	term_write_atom(w, value ? "true" : "false");
}

static void write_pins(struct term_writer *w, uint32_t id,
		       const struct pins *pins)
{
	size_t list = term_write_list_open(w), count;
	const struct pin *pin = pins_of(pins, id, &count);

	for (size_t i = 0; i < count; i++)
		term_write_binary(w, pin[i].path, strlen(pin[i].path));
	term_write_list_close(w, list, (uint32_t)count);
}

void descriptions_write_holders(struct call *call,
				const struct resource_kind *kind, uint32_t id,
				const struct pins *pins)
{
	struct listing listing = { .call = call };
	size_t list;

	term_write_atom(call->out, "pinned");
	write_pins(call->out, id, pins);
	term_write_atom(call->out, "handles");
	list = term_write_list_open(call->out);
	handles_each(call->context->common->handles, kind, id, write_handle,
		     &listing);
	term_write_list_close(call->out, list, listing.count);
}
