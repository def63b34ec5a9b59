/* SPDX-License-Identifier: Apache-2.0 */
/* The BTF of a new map whose layouts are given. */
#include "call/new_types.h"

#include <bpf/btf.h>
#include <unistd.h>

#include "bpf/kernel_btf.h"
#include "types/btf_write.h"

void new_types_load(const struct types_plans *plans, struct map_spec *spec)
{
	struct btf_types types;
	int fd;

	if (btf_write(plans->key, plans->value, &types) < 0)
		return;
	fd = kernel_btf_load(types.btf);
	btf__free(types.btf);
	if (fd < 0)
		return;
	spec->btf_fd = fd;
	spec->btf_key_type = types.key;
	spec->btf_value_type = types.value;
}

void new_types_close(struct map_spec *spec)
{
	if (spec->btf_fd > 0)
		close(spec->btf_fd);
	spec->btf_fd = 0;
}
