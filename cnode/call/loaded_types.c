/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The maps that a load has made become views by the BTF that came with them:
 * its descriptor takes no CAP_SYS_ADMIN, and its id has to be that of the map.
 * Maps without it stay as they are, and so do those whose types are beyond what
 * a plan may be: ebpf_maps:types/1 tells why.
 */
#include <bpf/btf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "bpf/kernel_btf.h"
#include "call/loaded.h"
#include "call/views.h"

/* False: the object has no types. *fd is -1 if their descriptor is missing. */
static bool take_btf(struct load_options *options, int *fd)
{
	struct record record;
	size_t at = 0;

	while (loading_next(&options->loading, &at, &record)) {
		if (record.kind != LOADER_R_BTF)
			continue;
		*fd = loader_answer_take(&options->loading.answer, record.fd);
		return true;
	}
	return false;
}

/* 0 also if it stays untyped. */
static int read_plans(struct call *call, const struct map *map, uint32_t id,
		      const struct btf *btf, struct types_plans **plans)
{
	struct map_info info;
	int error = map_get_info(map, &info);

	*plans = NULL;
	if (error < 0 || info.btf_id != id ||
	    (info.btf_key_type == 0 && info.btf_value_type == 0))
		return error;
	error = views_read_btf(call, map, &info, btf, plans);
	return error == -ENOMEM ? error : 0;
}

static bool type_maps(struct call *call, const struct load_options *options,
		      struct loaded *loaded, uint32_t id, const struct btf *btf)
{
	struct types_plans *plans;
	int error = 0;

	for (size_t i = loaded->given; i < loaded->map_count; i++) {
		struct map *map = loaded->maps[i].map;

		error = read_plans(call, map, id, btf, &plans);
		if (error == 0 && plans &&
		    !views_make_of(call, &options->view, plans, map, &error))
			return false;
		if (error < 0)
			return raise_errno(call, error);
	}
	return true;
}

bool loaded_type_maps(struct call *call, struct load_options *options,
		      struct loaded *loaded, bool *done)
{
	struct btf *btf = NULL;
	int fd, error;
	uint32_t id;
	bool good;

	if (!take_btf(options, &fd))
		return true;
	error = fd < 0 ? -EINVAL : kernel_btf_read(fd, &id, &btf);
	if (fd >= 0)
		close(fd);
	*done = error == -EINVAL;
	if (*done)
		return loading_lied(call, "its types are not what they were "
					  "called");
	if (error == -ENOMEM)
		return raise_no_memory(call);
	good = error < 0 || type_maps(call, options, loaded, id, btf);
	btf__free(btf);
	return good;
}
