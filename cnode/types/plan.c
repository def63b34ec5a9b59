/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Builds plans, and refuses one as soon as it is too large or a part of it is
 * none that there can be. Does not know what they are built from.
 */
#include "types/plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "types/plan_internal.h"
#include "types/put_term.h"

#define FIRST_CAPACITY 16
#define FIRST_NAMES 512

struct plan *plan_new(void)
{
	struct plan *plan = calloc(1, sizeof(*plan));

	if (!plan)
		return NULL;
	plan->builder = calloc(1, sizeof(*plan->builder));
	if (!plan->builder) {
		plan_free(plan);
		return NULL;
	}
	return plan;
}

void plan_free(struct plan *plan)
{
	if (!plan)
		return;
	free(plan->builder);
	free(plan->steps);
	free(plan->constants);
	free(plan->names);
	free(plan->by_name);
	free(plan->constants_by_name);
	free(plan);
}

size_t plan_memory(const struct plan *plan)
{
	if (!plan)
		return 0;
	return sizeof(*plan) + plan->names_size +
	       plan->step_count *
		       (sizeof(*plan->steps) + sizeof(*plan->by_name)) +
	       plan->constant_count * (sizeof(*plan->constants) +
				       sizeof(*plan->constants_by_name));
}

static int fail(struct plan *plan, int error)
{
	plan->builder->error = error;
	return error;
}

/* Whether there may be another step or constant. */
static int check_count(struct plan *plan)
{
	if (plan->builder->error)
		return plan->builder->error;
	return plan->step_count + plan->constant_count < PLAN_MAX_STEPS
		       ? 0
		       : fail(plan, -E2BIG);
}

/* Makes room for one more of a size; NULL: there is no memory. */
static void *make_room(void *array, uint32_t count, uint32_t *capacity,
		       size_t size)
{
	uint32_t wanted = *capacity ? *capacity * 2 : FIRST_CAPACITY;

	if (count < *capacity)
		return array;
	array = realloc(array, wanted * size);
	if (array)
		*capacity = wanted;
	return array;
}

static bool grow_names(struct plan *plan, size_t size)
{
	size_t capacity = plan->builder->names_capacity;
	char *names;

	while (capacity < plan->names_size + size + PLAN_NAME_SLACK)
		capacity = capacity ? 2 * capacity : FIRST_NAMES;
	if (capacity == plan->builder->names_capacity)
		return true;
	names = realloc(plan->names, capacity);
	if (!names)
		return false;
	plan->names = names;
	plan->builder->names_capacity = capacity;
	return true;
}

/* Adds a name as a term; *place is where its text starts. */
static int add_name(struct plan *plan, const char *name, size_t size,
		    uint32_t *place)
{
	char *to;

	if (size > PLAN_MAX_NAMES - plan->builder->text)
		return fail(plan, -E2BIG);
	if (!grow_names(plan, PLAN_NAME_HEADER + size))
		return fail(plan, -ENOMEM);
	plan->builder->text += size;
	to = put_header(plan->names + plan->names_size, ERL_BINARY_EXT,
			(uint32_t)size);
	memcpy(to, name, size);
	memset(to + size, 0, PLAN_NAME_SLACK);
	*place = (uint32_t)(to - plan->names);
	plan->names_size = *place + size;
	return 0;
}

/* --- Parts -------------------------------------------------------------- */

static bool is_power_of_two(uint32_t size)
{
	return size > 0 && (size & (size - 1)) == 0;
}

/* Whether there are parts of that kind and size. */
static bool is_size(enum plan_kind kind, uint32_t size)
{
	switch (kind) {
	case PLAN_UNSIGNED:
	case PLAN_SIGNED:
		return is_power_of_two(size) && size <= 16;
	case PLAN_BIG_ENDIAN:
		return is_power_of_two(size) && size >= 2 && size <= 8;
	case PLAN_BOOL:
		return size == 1;
	case PLAN_FLOAT:
		return size == 4 || size == 8;
	case PLAN_POINTER:
		return size == 8;
	case PLAN_ENUM:
		return is_power_of_two(size) && size <= 8;
	case PLAN_CHARS:
	case PLAN_BYTES:
	case PLAN_STRUCT:
	case PLAN_UNION:
	case PLAN_ARRAY:
	case PLAN_HIDDEN:
		return true;
	default:
		return false;
	}
}

static bool is_bit_field(const struct plan_part *part)
{
	return (part->kind == PLAN_UNSIGNED || part->kind == PLAN_SIGNED ||
		part->kind == PLAN_BOOL || part->kind == PLAN_ENUM) &&
	       part->bit_size <= 64 && part->bit_size <= part->size * 8;
}

static bool is_member(const struct plan_part *part)
{
	return (part->name_size > 0 || part->kind == PLAN_STRUCT ||
		part->kind == PLAN_UNION || part->kind == PLAN_HIDDEN) &&
	       (part->bit_size ? is_bit_field(part)
			       : part->bit_offset % 8 == 0);
}

/* The top, or the one element of an array. */
static bool is_alone(const struct plan *plan, const struct plan_part *part)
{
	const struct plan_builder *builder = plan->builder;
	uint32_t before =
		builder->depth ? builder->open[builder->depth - 1] + 1 : 0;

	return plan->step_count == before && !part->bit_size &&
	       part->kind != PLAN_HIDDEN;
}

static struct plan_step *innermost(const struct plan *plan)
{
	const struct plan_builder *builder = plan->builder;

	return builder->depth ? &plan->steps[builder->open[builder->depth - 1]]
			      : NULL;
}

static bool has_size(const struct plan_part *part)
{
	return part->kind != PLAN_ARRAY && part->kind != PLAN_HIDDEN;
}

/* The step of a part, but for its name. */
static struct plan_step make_step(const struct plan_part *part, bool member)
{
	return (struct plan_step){
		.kind = part->kind,
		.is_signed = part->kind == PLAN_SIGNED ||
			     (part->kind == PLAN_ENUM && part->is_signed),
		.bit_size = part->bit_size,
		.bit_offset = member ? part->bit_offset : 0,
		.size = has_size(part) ? part->size : 0,
		.count = part->kind == PLAN_ARRAY ? part->count : 0,
	};
}

static int add_step(struct plan *plan, const struct plan_part *part,
		    bool member)
{
	struct plan_builder *builder = plan->builder;
	struct plan_step step = make_step(part, member);
	struct plan_step *steps =
		make_room(plan->steps, plan->step_count,
			  &builder->step_capacity, sizeof(*steps));
	int error = 0;

	if (!steps)
		return fail(plan, -ENOMEM);
	plan->steps = steps;
	if (member && part->name_size > 0) {
		error = add_name(plan, part->name, part->name_size, &step.name);
		step.name_size = (uint32_t)part->name_size;
	}
	step.next = plan->step_count + 1;
	step.constants = plan->constant_count;
	if (error == 0)
		steps[plan->step_count++] = step;
	return error;
}

static int add(struct plan *plan, const struct plan_part *part)
{
	struct plan_step *in;
	bool member;
	int error = check_count(plan);

	if (error < 0)
		return error;
	in = innermost(plan);
	member = in && plan_has_members(in);
	if ((has_size(part) && part->size > PLAN_MAX_SIZE) ||
	    !is_size(part->kind, part->size) ||
	    !(member ? is_member(part) : is_alone(plan, part)))
		return fail(plan, -EINVAL);
	if (member)
		in->count++;
	return add_step(plan, part, member);
}

static bool may_open(enum plan_kind kind)
{
	return kind == PLAN_ARRAY || kind == PLAN_STRUCT || kind == PLAN_UNION;
}

int plan_add(struct plan *plan, const struct plan_part *part)
{
	return may_open(part->kind) && !plan->builder->error
		       ? fail(plan, -EINVAL)
		       : add(plan, part);
}

static bool fits_enum(const struct plan_step *step, uint64_t value)
{
	unsigned unused = 64 - 8 * step->size;

	if (step->is_signed)
		return (int64_t)(value << unused) >> unused == (int64_t)value;
	return value << unused >> unused == value;
}

int plan_add_constant(struct plan *plan, const char *name, size_t name_size,
		      uint64_t value)
{
	struct plan_constant constant = { value, 0, (uint32_t)name_size };
	struct plan_constant *constants;
	struct plan_step *step;
	int error = check_count(plan);

	if (error < 0)
		return error;
	step = plan->step_count ? &plan->steps[plan->step_count - 1] : NULL;
	if (!step || step->kind != PLAN_ENUM || name_size == 0 ||
	    !fits_enum(step, value))
		return fail(plan, -EINVAL);
	constants = make_room(plan->constants, plan->constant_count,
			      &plan->builder->constant_capacity,
			      sizeof(*constants));
	if (!constants)
		return fail(plan, -ENOMEM);
	plan->constants = constants;
	error = add_name(plan, name, name_size, &constant.name);
	if (error < 0)
		return error;
	constants[plan->constant_count++] = constant;
	step->count++;
	return 0;
}

/* --- What has parts ----------------------------------------------------- */

int plan_open(struct plan *plan, const struct plan_part *part)
{
	struct plan_builder *builder = plan->builder;
	int error;

	if (builder->error)
		return builder->error;
	if (builder->depth == PLAN_MAX_DEPTH)
		return fail(plan, -E2BIG);
	if (!may_open(part->kind))
		return fail(plan, -EINVAL);
	error = add(plan, part);
	if (error == 0)
		builder->open[builder->depth++] = plan->step_count - 1;
	return error;
}

static int close_array(struct plan *plan, struct plan_step *array)
{
	const struct plan_step *element = array + 1;
	uint64_t size;

	if (array->next == plan->step_count || element->size == 0)
		return -EINVAL;
	size = (uint64_t)element->size * array->count;
	if (size > PLAN_MAX_SIZE) /* no value is that large */
		return -EINVAL;
	array->size = (uint32_t)size;
	return 0;
}

int plan_close(struct plan *plan)
{
	struct plan_builder *builder = plan->builder;
	struct plan_step *step = innermost(plan);
	int error;

	if (builder->error)
		return builder->error;
	if (!step)
		return fail(plan, -EINVAL);
	error = step->kind == PLAN_ARRAY ? close_array(plan, step) : 0;
	step->next = plan->step_count;
	builder->depth--;
	if (error == 0 && step->kind != PLAN_ARRAY)
		error = plan_check_places(plan, step);
	return error < 0 ? fail(plan, error) : 0;
}
