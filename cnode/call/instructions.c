/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The instructions of a program, as a caller writes them: eight bytes each. To
 * the kernel some of their numbers are descriptors of whoever loads them, so
 * each is looked at before the loader has it. A load of a map bears what fd/1
 * says of one of the request's maps, or its place among them; afterwards all
 * bear the place.
 */
#include "call/instructions.h"

#include <errno.h>
#include <linux/bpf.h>
#include <string.h>

#define LOAD_IMMEDIATE (BPF_LD | BPF_IMM | BPF_DW) /* two instructions */

/* From the number of a descriptor to the place of that map. */
static bool set_place(const struct load_options *options,
		      struct bpf_insn *instruction)
{
	for (unsigned i = 0; i < options->map_count; i++) {
		if (options->maps[i].map->resource.fd != instruction->imm)
			continue;
		instruction->imm = (int32_t)i;
		if (instruction->src_reg == BPF_PSEUDO_MAP_FD)
			instruction->src_reg = BPF_PSEUDO_MAP_IDX;
		else
			instruction->src_reg = BPF_PSEUDO_MAP_IDX_VALUE;
		return true;
	}
	return false;
}

/* NULL, or what is wrong with a load of 64 bits; the next one belongs to it. */
static const char *set_load(const struct load_options *options,
			    struct bpf_insn *instruction)
{
	switch (instruction->src_reg) {
	case 0:
	case BPF_PSEUDO_FUNC:
		return NULL;
	case BPF_PSEUDO_MAP_FD:
	case BPF_PSEUDO_MAP_VALUE:
		return set_place(options, instruction)
			       ? NULL
			       : "loads a map by a number that is the fd/1 of "
				 "none of the maps";
	case BPF_PSEUDO_BTF_ID:
		return instruction[1].imm == 0
			       ? NULL
			       : "loads a variable of a kernel module";
	case BPF_PSEUDO_MAP_IDX:
	case BPF_PSEUDO_MAP_IDX_VALUE:
		return (uint32_t)instruction->imm < options->map_count
			       ? NULL
			       : "loads a map by a place that none of the maps "
				 "has";
	default:
		return "loads from an unknown source";
	}
}

static bool is_load(const struct bpf_insn *instruction)
{
	return instruction->code == LOAD_IMMEDIATE;
}

/* Its offset would be a descriptor of the module's types. */
static bool calls_module(const struct bpf_insn *instruction)
{
	return instruction->code == (BPF_JMP | BPF_CALL) &&
	       instruction->src_reg == BPF_PSEUDO_KFUNC_CALL &&
	       instruction->off != 0;
}

static const char *set_one(const struct load_options *options,
			   struct bpf_insn *instruction, bool is_last)
{
	if (calls_module(instruction))
		return "calls a function of a kernel module";
	if (!is_load(instruction))
		return NULL;
	return is_last ? "is the first half of a load"
		       : set_load(options, instruction);
}

static bool set_all(struct call *call, const struct load_options *options,
		    struct bpf_insn *instructions, size_t count)
{
	const char *wrong;

	for (size_t i = 0; i < count; i++) {
		wrong = set_one(options, &instructions[i], i + 1 == count);
		if (wrong)
			return loading_wrong(call, "instruction %zu %s", i,
					     wrong);
		if (is_load(&instructions[i]))
			i++;
	}
	return true;
}

bool instructions_read(struct call *call, struct term t,
		       struct load_options *options, int *error)
{
	struct loader_request *request = &options->loading.request;
	const char *bytes;
	char *copy;
	size_t size;

	*error = 0;
	if (!term_read_binary(t, &bytes, &size))
		return loading_wrong(call, "the instructions are no binary");
	if (size == 0 || size % sizeof(struct bpf_insn) > 0)
		return loading_wrong(call,
				     "%zu bytes are no instructions of %zu "
				     "each",
				     size, sizeof(struct bpf_insn));
	if (size / sizeof(struct bpf_insn) > INSTRUCTIONS_MAX) {
		*error = -E2BIG;
		return true;
	}
	copy = call_batch_buffer(call, size);
	if (!copy)
		return false;
	memcpy(copy, bytes, size);
	request->object = copy;
	request->object_size = size;
	return set_all(call, options, (struct bpf_insn *)copy,
		       size / sizeof(struct bpf_insn));
}
