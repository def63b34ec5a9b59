/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Jobs of the loader's children but for objects, which libbpf reads: a byte
 * chooses the job, two tell the size of its records, then come those and the
 * instructions. In place of the kernel here are checks of what gets to it.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <sys/mman.h>

#include "fuzz.h"
#include "loader/jobs.h"

#define HEAD 3
#define FIRST_FD 1000 /* none is open */

/* The linker redirects calls of these functions to __wrap_. */
int __wrap_bpf_prog_load(enum bpf_prog_type type, const char *name,
			 const char *license, const struct bpf_insn *insns,
			 size_t count, struct bpf_prog_load_opts *options);
int __wrap_bpf_prog_test_run_opts(int fd, struct bpf_test_run_opts *options);
int __wrap_bpf_obj_get_info_by_fd(int fd, void *info, __u32 *size);
int __wrap_bpf_link_create(int program, int target, enum bpf_attach_type type,
			   const struct bpf_link_create_opts *options);
int __wrap_libbpf_find_vmlinux_btf_id(const char *name,
				      enum bpf_attach_type type);
int __wrap_privilege_narrow(unsigned privileges);
int __wrap_open(const char *path, int flags, ...);

static struct job job;
static int fds[] = { FIRST_FD, FIRST_FD + 1, FIRST_FD + 2 };

static void check_fd(const struct bpf_insn *insn)
{
	switch (insn->src_reg) {
	case BPF_PSEUDO_MAP_FD:
	case BPF_PSEUDO_MAP_VALUE:
		REQUIRE(insn->imm >= FIRST_FD &&
			insn->imm < FIRST_FD + (int)job.fd_count);
		break;
	case BPF_PSEUDO_BTF_ID:
		REQUIRE(insn[1].imm == 0);
		break;
	default:
		REQUIRE(insn->src_reg == 0 || insn->src_reg == BPF_PSEUDO_FUNC);
	}
}

int __wrap_bpf_prog_load(enum bpf_prog_type type, const char *name,
			 const char *license, const struct bpf_insn *insns,
			 size_t count, struct bpf_prog_load_opts *options)
{
	REQUIRE(type != BPF_PROG_TYPE_SYSCALL && type != BPF_PROG_TYPE_EXT);
	REQUIRE(strlen(name) < 64 && strlen(license) < 128);
	REQUIRE(count * sizeof(*insns) == job.object_size);
	for (size_t i = 0; i < count; i++) {
		if (insns[i].code != (BPF_LD | BPF_IMM | BPF_DW))
			continue;
		REQUIRE(i + 1 < count);
		check_fd(&insns[i++]);
	}
	if (count % 2 == 0)
		memset(options->log_buf, '\n', count * 1024);
	return count % 3 == 0 ? -EACCES : FIRST_FD + 9;
}

int __wrap_bpf_prog_test_run_opts(int fd, struct bpf_test_run_opts *options)
{
	REQUIRE(fd == FIRST_FD && options->repeat <= 1000000);
	REQUIRE((options->flags & ~(__u32)BPF_F_TEST_RUN_ON_CPU) == 0);
	if (options->data_out)
		memset(options->data_out, 1, options->data_size_out);
	if (options->ctx_out)
		memset(options->ctx_out, 2, options->ctx_size_out);
	if (!options->data_out || options->data_size_out > 1u << 18)
		return 0;
	options->data_size_out *= 2;
	return -ENOSPC;
}

int __wrap_bpf_obj_get_info_by_fd(int fd, void *info, __u32 *size)
{
	REQUIRE(fd == FIRST_FD);
	memset(info, 0, *size);
	((struct bpf_prog_info *)info)->type = (__u32)job.object_size % 32;
	return 0;
}

int __wrap_bpf_link_create(int program, int target, enum bpf_attach_type type,
			   const struct bpf_link_create_opts *options)
{
	(void)options;
	REQUIRE(target >= 0 && type == BPF_PERF_EVENT);
	return program == FIRST_FD ? FIRST_FD + 9 : -EBADF;
}

int __wrap_libbpf_find_vmlinux_btf_id(const char *name,
				      enum bpf_attach_type type)
{
	(void)type;
	return strlen(name) % 2 ? 7 : -ESRCH;
}

int __wrap_privilege_narrow(unsigned privileges)
{
	(void)privileges;
	return 0;
}

/* Of the job: no path has a way out of its folder. */
int __wrap_open(const char *path, int flags, ...)
{
	(void)flags;
	REQUIRE(strncmp(path, "/sys/", 5) == 0 && !strstr(path, "/.") &&
		!strstr(path, "//"));
	errno = ENOENT;
	return -1;
}

static void check_answer(const struct job_answer *answer)
{
	struct record record;
	size_t at = 0;
	unsigned count = 0;

	if (answer->records.failed)
		return;
	for (; records_next(answer->records.bytes, answer->records.size, &at,
			    &record);
	     count++)
		REQUIRE(record.fd == RECORD_NO_FD ||
			record.fd < answer->fd_count);
	REQUIRE(at == answer->records.size && count > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const jobs[])(const struct job *, struct job_answer *) = {
		job_instructions, job_run, job_attach
	};
	static struct job_answer answer;
	size_t records;
	char *copy;

	if (size < HEAD)
		return 0;
	records = (size_t)data[1] | (size_t)data[2] << 8;
	if (records > size - HEAD)
		records = size - HEAD;
	copy = fuzz_copy(data + HEAD, size - HEAD);
	job = (struct job){
		.words = 0xff,
		.records = copy,
		.records_size = records,
		.object = copy + records,
		.object_size = size - HEAD - records,
		.fds = fds,
		.fd_count = data[0] / 3 % 4,
	};
	memset(&answer, 0, sizeof(answer));
	answer.records.max = LOADER_MAX_ANSWER;
	jobs[data[0] % 3](&job, &answer);
	check_answer(&answer);
	records_free(&answer.records);
	free(copy);
	return 0;
}
