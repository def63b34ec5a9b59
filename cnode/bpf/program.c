/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open kernel programs, through libbpf. Loads none: only the loader does. What
 * a descriptor is, the kernel tells, never the sender.
 */
#include "bpf/program.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bpf/kernel_types.h"

static void describe(const struct resource *resource,
		     struct resource_text *text)
{
	const struct program *program = (const struct program *)resource;
	const char *type = program_type_name(program->type);

	if (type)
		snprintf(text->type, sizeof(text->type), "%s", type);
	else
		snprintf(text->type, sizeof(text->type), "%u", program->type);
	memcpy(text->name, program->name, sizeof(text->name));
}

static void free_program(struct resource *resource)
{
	struct program *program = (struct program *)resource;

	if (program->counting > 0)
		close(program->counting);
	free(program->full_name);
	free(program->section);
	free(program);
}

const struct resource_kind program_kind = {
	.name = "program",
	.class = RESOURCE_PROGRAMS,
	.inode = "bpf-prog",
	.look_flags = BPF_F_RDONLY,
	.describe = describe,
	.free = free_program,
};

const char *program_type_name(uint32_t type)
{
	if (type == KERNEL_PROGRAM_NETFILTER)
		return "netfilter";
	return libbpf_bpf_prog_type_str((enum bpf_prog_type)type);
}

static int read_info(int fd, struct bpf_prog_info *info)
{
	uint32_t size = sizeof(*info);

	return bpf_obj_get_info_by_fd(fd, info, &size);
}

int program_adopt(int fd, struct program **result)
{
	struct bpf_prog_info info = { 0 };
	struct program *program;
	int error = resource_check_kind(fd, &program_kind);

	if (error == 0)
		error = read_info(fd, &info);
	program = error == 0 ? calloc(1, sizeof(*program)) : NULL;
	if (!program) {
		close(fd);
		return error < 0 ? error : -ENOMEM;
	}
	resource_init(&program->resource, &program_kind, fd);
	program->resource.id = info.id;
	program->type = info.type;
	memcpy(program->name, info.name, sizeof(program->name) - 1);
	*result = program;
	return 0;
}

static int copy_text(const char *text, char **copy)
{
	*copy = text ? strdup(text) : NULL;
	return text && !*copy ? -ENOMEM : 0;
}

int program_set_origin(struct program *program, const char *name,
		       const char *section, uint32_t attach_type)
{
	int error = copy_text(name, &program->full_name);

	program->attach_type = attach_type;
	return error < 0 ? error : copy_text(section, &program->section);
}

int program_open_id(uint32_t id, struct program **program)
{
	int fd = bpf_prog_get_fd_by_id(id);

	return fd < 0 ? fd : program_adopt(fd, program);
}

int program_open_pinned(const char *path, struct program **program)
{
	int fd = bpf_obj_get(path);

	return fd < 0 ? fd : program_adopt(fd, program);
}

int program_next_id(uint32_t *id)
{
	return bpf_prog_get_next_id(*id, id);
}

int program_get_info(const struct program *program, struct program_info *info)
{
	struct bpf_prog_info kernel = { 0 };
	int error = read_info(program->resource.fd, &kernel);

	if (error < 0)
		return error;
	*info = (struct program_info){
		.id = kernel.id,
		.type = kernel.type,
		.btf_id = kernel.btf_id,
		.uid = kernel.created_by_uid,
		.map_count = kernel.nr_map_ids,
		.instructions = kernel.verified_insns,
		.translated = kernel.xlated_prog_len,
		.jited = kernel.jited_prog_len,
		.loaded = kernel.load_time,
		.run_time = kernel.run_time_ns,
		.run_count = kernel.run_cnt,
		.recursion_misses = kernel.recursion_misses,
		.gpl = kernel.gpl_compatible,
	};
	memcpy(info->name, kernel.name, sizeof(info->name) - 1);
	memcpy(info->tag, kernel.tag, sizeof(info->tag));
	return 0;
}

/* Without the right to turn it on, somebody else may have. */
static bool counts_anyway(void)
{
	char on = '0';
	int fd = open("/proc/sys/kernel/bpf_stats_enabled",
		      O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	if (read(fd, &on, 1) != 1)
		on = '0';
	close(fd);
	return on != '0';
}

int program_count_on(struct program *program)
{
	int none = 0, fd;

	if (program->counting > 0)
		return 0;
	fd = bpf_enable_stats(BPF_STATS_RUN_TIME);
	if (fd == -EPERM && counts_anyway())
		return 0;
	if (fd < 0)
		return fd;
	if (!atomic_compare_exchange_strong(&program->counting, &none, fd))
		close(fd);
	return 0;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the kernel writes there */
int program_get_maps(const struct program *program, uint32_t *ids,
		     uint32_t *count)
{
	struct bpf_prog_info info = {
		.nr_map_ids = *count,
		.map_ids = (uint64_t)(uintptr_t)ids,
	};
	uint32_t room = *count;
	int error = read_info(program->resource.fd, &info);

	if (error < 0)
		return error;
	*count = info.nr_map_ids;
	return *count > room ? -ENOSPC : 0;
}
