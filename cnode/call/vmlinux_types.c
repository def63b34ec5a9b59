/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layouts by the names of the kernel's own types:
 *
 *	{vmlinux, Name :: binary() | atom() | string()}
 *
 * These were read at the start and stay as they are, so the threads of all
 * connections read them without a lock: see types/btf_find.c.
 */
#include "call/vmlinux_types.h"

#include "call/refusal.h"
#include "call/views.h"
#include "types/btf_find.h"
#include "types/btf_read.h"

#define NAME_SIZE 1024 /* bytes, with its NUL */

bool vmlinux_types_named(struct term layout, struct term *name)
{
	struct term pair[2];

	if (!term_tuple_of(layout, pair, 2) ||
	    !term_is_atom(pair[0], "vmlinux"))
		return false;
	*name = pair[1];
	return true;
}

/* A name that is too long for one is empty. */
static bool read_name(struct call *call, struct term t, char name[NAME_SIZE])
{
	const char *bytes;
	size_t size;

	if (term_read_text(t, name, NAME_SIZE))
		return true;
	name[0] = '\0';
	return term_read_binary(t, &bytes, &size) || term_is_characters(t) ||
	       raise_reason(call, RAISED_BADARG);
}

bool vmlinux_types_read(struct call *call, struct term name, uint32_t size,
			struct plan **plan, int *error)
{
	const struct btf *btf = call->context->common->vmlinux;
	char text[NAME_SIZE];
	uint32_t type;

	if (!read_name(call, name, text))
		return false;
	if (!btf)
		return refusal_raise(call, REFUSAL_NO_VMLINUX_TYPES, text);
	type = btf_find(btf, text);
	*error = type > 0 ? btf_read(btf, type, size, plan) : VIEWS_NOTYPE;
	return *error != -EINVAL || raise_reason(call, RAISED_BADARG);
}
