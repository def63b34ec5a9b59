/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads one program from its instructions. Those that load a map bear its place
 * among the request's, and get its descriptor here, in a copy: with an array of
 * descriptors the kernel would read past its end.
 */
#include "loader/jobs.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/map.h"
#include "bpf/program_words.h"
#include "loader/job_errors.h"
#include "loader/job_log.h"
#include "loader/job_options.h"

#define MAX_INSTRUCTIONS 1000000u
#define LOAD_IMMEDIATE (BPF_LD | BPF_IMM | BPF_DW) /* two slots */

/* --- Instructions ------------------------------------------------------- */

/* From the place of a map to its descriptor. */
static bool set_map(const struct job *job, struct bpf_insn *instruction,
		    bool is_value)
{
	uint32_t place = (uint32_t)instruction->imm;

	if (place >= job->fd_count)
		return false;
	instruction->imm = job->fds[place];
	if (is_value)
		instruction->src_reg = BPF_PSEUDO_MAP_VALUE;
	else
		instruction->src_reg = BPF_PSEUDO_MAP_FD;
	return true;
}

static bool set_load(const struct job *job, struct bpf_insn *instruction)
{
	switch (instruction->src_reg) {
	case 0:
	case BPF_PSEUDO_FUNC:
		return true;
	case BPF_PSEUDO_BTF_ID: /* of the kernel itself, no module's */
		return instruction[1].imm == 0;
	case BPF_PSEUDO_MAP_IDX:
		return set_map(job, instruction, false);
	case BPF_PSEUDO_MAP_IDX_VALUE:
		return set_map(job, instruction, true);
	default:
		return false;
	}
}

/* Descriptors of modules are none of a request's. */
static bool is_call_of_module(const struct bpf_insn *instruction)
{
	return instruction->code == (BPF_JMP | BPF_CALL) &&
	       instruction->src_reg == BPF_PSEUDO_KFUNC_CALL &&
	       instruction->off != 0;
}

static bool set_descriptors(const struct job *job,
			    struct bpf_insn *instructions, size_t count,
			    struct job_answer *answer)
{
	size_t i = 0;

	for (; i < count; i++) {
		if (is_call_of_module(&instructions[i]))
			break;
		if (instructions[i].code != LOAD_IMMEDIATE)
			continue;
		if (i + 1 == count || !set_load(job, &instructions[i]))
			break;
		i++;
	}
	return i >= count ||
	       job_errors_badarg(
		       answer, "instruction %zu refers to none of the maps", i);
}

static bool copy(const struct job *job, struct bpf_insn **instructions,
		 size_t *count, struct job_answer *answer)
{
	*count = job->object_size / sizeof(**instructions);
	if (job->object_size == 0 ||
	    job->object_size % sizeof(**instructions) > 0)
		return job_errors_badarg(answer,
					 "%zu bytes are no whole instructions",
					 job->object_size);
	if (*count > MAX_INSTRUCTIONS)
		return job_errors_posix(answer, E2BIG);
	*instructions = malloc(job->object_size);
	if (!*instructions)
		return job_errors_posix(answer, ENOMEM);
	memcpy(*instructions, job->object, job->object_size);
	return set_descriptors(job, *instructions, *count, answer);
}

/* --- Options ------------------------------------------------------------ */

static bool find_attach_to(const struct job_options *options,
			   struct bpf_prog_load_opts *load,
			   struct job_answer *answer)
{
	int id;

	if (!*options->attach_to)
		return true;
	id = libbpf_find_vmlinux_btf_id(
		options->attach_to, (enum bpf_attach_type)options->attach_type);
	if (id < 0)
		return job_errors_libbpf(answer, -id);
	load->attach_btf_id = (uint32_t)id;
	return true;
}

static bool prepare(const struct job_options *options,
		    struct bpf_prog_load_opts *load, struct job_answer *answer)
{
	enum program_word word = program_word_of(options->type);
	int error;

	if (!program_words_allow(options->words, options->type))
		return job_errors_denied(answer, options->name,
					 "this type of program");
	if (options->max_programs == 0)
		return job_errors_posix(answer, EMFILE);
	load->expected_attach_type = (enum bpf_attach_type)options->attach_type;
	load->prog_flags = options->sleepable ? BPF_F_SLEEPABLE : 0;
	load->log_level = options->log_level;
	load->log_size = JOB_LOG_SIZE;
	load->log_buf = job_log_new(JOB_LOG_SIZE);
	if (!load->log_buf)
		return job_errors_posix(answer, ENOMEM);
	if (!find_attach_to(options, load, answer))
		return false;
	error = job_narrow(1u << program_words[word].needs);
	return error == 0 || job_errors_posix(answer, -error);
}

static void add_program(const struct job_options *options,
			const struct bpf_prog_load_opts *load, size_t log_size,
			int fd, struct job_answer *answer)
{
	const struct record program = { .kind = LOADER_R_PROGRAM,
					.number = options->attach_type,
					.name = options->name };
	struct record log = { .kind = LOADER_R_LOG, .name = options->name };

	job_answer_add(answer, &program, fd);
	if (options->log_level == 0)
		return;
	job_log_end(load->log_buf, log_size, LOADER_LOG_SIZE, &log);
	job_answer_add(answer, &log, -1);
}

static void load(const struct job_options *options,
		 const struct bpf_insn *instructions, size_t count,
		 struct bpf_prog_load_opts *load, struct job_answer *answer)
{
	int fd = bpf_prog_load((enum bpf_prog_type)options->type, options->name,
			       options->license, instructions, count, load);
	size_t size = job_log_length(load->log_buf, load->log_size);

	if (fd < 0)
		job_errors_rejected(answer, -fd, options->name, load->log_buf,
				    size);
	else
		add_program(options, load, size, fd, answer);
}

void job_instructions(const struct job *job, struct job_answer *answer)
{
	LIBBPF_OPTS(bpf_prog_load_opts, attributes);
	struct bpf_insn *instructions = NULL;
	struct job_options options;
	size_t count;

	job_errors_listen();
	if (job_options_read(job, &options, answer) &&
	    copy(job, &instructions, &count, answer) &&
	    prepare(&options, &attributes, answer))
		load(&options, instructions, count, &attributes, answer);
	job_log_free(attributes.log_buf, attributes.log_size);
	free(instructions);
}
