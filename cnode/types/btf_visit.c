/* SPDX-License-Identifier: Apache-2.0 */
/* Goes from type to type within a BTF, for as long as a plan may take. */
#include "types/btf_visit.h"

#include <bpf/btf.h>
#include <errno.h>
#include <string.h>

#include "types/plan.h"

#define MAX_VISITS (16 * PLAN_MAX_STEPS) /* types looked at, in all */
#define MAX_NAMES 32 /* typedefs and qualifiers of one type */

const char *btf_visit_name(const struct btf_visitor *v, uint32_t offset)
{
	return btf__name_by_offset(v->btf, offset);
}

bool btf_visit_is_named(const struct btf_visitor *v,
			const struct btf_type *type, const char *const names[],
			size_t count)
{
	const char *name = btf_visit_name(v, type->name_off);

	for (size_t i = 0; name && i < count; i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

int btf_visit(struct btf_visitor *v, uint32_t id, const struct btf_type **type)
{
	if (++v->visits > MAX_VISITS)
		return -E2BIG;
	*type = btf__type_by_id(v->btf, id);
	return *type ? 0 : -EINVAL;
}

int btf_visit_strip(struct btf_visitor *v, uint32_t id,
		    struct btf_stripped *stripped)
{
	static const char *const big_endian[] = { "__be16", "__be32",
						  "__be64" };
	int error;

	stripped->is_big_endian = false;
	for (uint32_t i = 0; i <= MAX_NAMES; i++) {
		error = btf_visit(v, id, &stripped->type);
		if (error < 0)
			return error;
		if (btf_is_typedef(stripped->type))
			stripped->is_big_endian |=
				BTF_VISIT_NAMED(v, stripped->type, big_endian);
		else if (!btf_is_mod(stripped->type))
			return 0;
		id = stripped->type->type;
	}
	return -E2BIG;
}

/* --- What is the kernel's own ------------------------------------------- */

static int has_kernel_tag(struct btf_visitor *v, const struct btf_type *pointer,
			  bool *has)
{
	static const char *const tags[] = { "kptr", "kptr_ref",
					    "kptr_untrusted", "percpu_kptr",
					    "uptr" };
	const struct btf_type *type = pointer;
	int error;

	*has = false;
	while ((error = btf_visit(v, type->type, &type)) == 0 &&
	       btf_is_type_tag(type) && !*has)
		*has = BTF_VISIT_NAMED(v, type, tags);
	return error;
}

static bool is_kernel_struct(const struct btf_visitor *v,
			     const struct btf_type *type)
{
	static const char *const structs[] = {
		"bpf_spin_lock", "bpf_res_spin_lock", "bpf_timer",
		"bpf_wq",        "bpf_task_work",     "bpf_list_head",
		"bpf_list_node", "bpf_rb_root",       "bpf_rb_node",
		"bpf_refcount",  "bpf_dynptr",
	};

	return btf_is_struct(type) && BTF_VISIT_NAMED(v, type, structs);
}

int btf_visit_hidden(struct btf_visitor *v, const struct btf_type *type,
		     bool *hidden)
{
	struct btf_stripped element = { .type = type };
	int error = 0;

	*hidden = false;
	while (error == 0 && btf_is_array(element.type))
		error = btf_visit_strip(v, btf_array(element.type)->type,
					&element);
	if (error < 0)
		return error;
	if (btf_is_ptr(element.type))
		return has_kernel_tag(v, element.type, hidden);
	*hidden = is_kernel_struct(v, element.type) ||
		  (btf_is_array(type) && btf_is_composite(element.type) &&
		   element.type->size == 0);
	return 0;
}
