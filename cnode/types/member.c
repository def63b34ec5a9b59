/* SPDX-License-Identifier: Apache-2.0 */
/* Finds one number in values, compares it and adds it up. */
#include "types/member.h"

#include <errno.h>

#include "types/fold_internal.h"
#include "types/put_term.h"

#define SIGN (UINT64_C(1) << 63)

/* --- Finding -------------------------------------------------------------- */

/* How far a path has led. */
struct search {
	const struct plan *plan;
	struct member at;
	struct encode_path *path;
};

static bool is_number(const struct plan_step *step)
{
	switch (step->kind) {
	case PLAN_UNSIGNED:
	case PLAN_SIGNED:
	case PLAN_BIG_ENDIAN:
	case PLAN_BOOL:
	case PLAN_FLOAT:
	case PLAN_POINTER:
		return true;
	default:
		return false;
	}
}

static bool read_name(struct search *search, struct term t, const char **name,
		      size_t *size)
{
	char *string = search->path->string;

	if (term_read_binary(t, name, size) || term_read_atom(t, name, size))
		return true;
	*name = string;
	return term_is_list(t) &&
	       term_read_characters(t, string, sizeof(search->path->string),
				    size) &&
	       *size > 0;
}

/* One place is more than any path that leads somewhere has. */
static void enter(struct search *search, struct encode_place place)
{
	if (search->path->count < PLAN_MAX_DEPTH)
		search->path->places[search->path->count++] = place;
}

static int enter_member(struct search *search, const char *name, size_t size)
{
	const struct plan_step *of = search->at.step, *step = NULL;
	uint32_t guess = of->by_name;

	if (plan_has_members(of))
		step = plan_find_member(search->plan, of, name, size, &guess);
	if (!step) {
		enter(search,
		      (struct encode_place){ .name = name, .name_size = size });
		return -ENOENT;
	}
	/* of the plan, as the next name may need the string */
	enter(search,
	      (struct encode_place){ .name = search->plan->names + step->name,
				     .name_size = step->name_size });
	search->at.step = step;
	search->at.offset += step->place / 8;
	return 0;
}

static int enter_element(struct search *search, uint32_t index)
{
	const struct plan_step *of = search->at.step;

	enter(search, (struct encode_place){ .index = index });
	if (of->kind != PLAN_ARRAY || index >= of->count)
		return -ENOENT;
	search->at.step = of + 1;
	search->at.offset += index * search->at.step->size;
	return 0;
}

static int enter_part(struct search *search, struct term t)
{
	const char *name;
	uint32_t index;
	size_t size;

	if (term_read_uint32(t, &index))
		return enter_element(search, index);
	return read_name(search, t, &name, &size)
		       ? enter_member(search, name, size)
		       : -EINVAL;
}

static int follow(struct search *search, struct term t)
{
	struct term_items items;
	struct term item;
	int error = 0;

	if (!term_list(t, &items))
		return -EINVAL;
	while (error == 0 && term_next(&items, &item))
		error = enter_part(search, item);
	return error == 0 && !term_end(&items) ? -EINVAL : error;
}

/* A list of characters is a name where no index could stand. */
static bool is_name(struct search *search, struct term t)
{
	const char *name;
	size_t size;

	return (!term_is_list(t) || search->at.step->kind != PLAN_ARRAY) &&
	       read_name(search, t, &name, &size);
}

int member_find(const struct plan *plan, struct term t, struct member *member,
		struct encode_path *path)
{
	struct search search = { plan, { plan->steps, 0 }, path };
	int error;

	path->count = 0;
	error = is_name(&search, t) ? enter_part(&search, t)
				    : follow(&search, t);
	if (error == 0 && !is_number(search.at.step))
		error = -ENOENT;
	*member = search.at;
	return error;
}

/* --- Comparing ------------------------------------------------------------ */

/* Bits that are in order as unsigned numbers; 0 is less than all others. */
static uint64_t order_float(double value)
{
	uint64_t bits;

	if (isnan(value))
		return 0;
	if (value == 0)
		value = 0; /* there are two of it */
	memcpy(&bits, &value, sizeof(bits));
	return bits & SIGN ? ~bits : bits | SIGN;
}

struct member_rank member_rank(const struct member *member,
			       const struct fold *fold, const char *bytes)
{
	const char *at = bytes + member->offset;
	struct number n;

	if (member->step->kind == PLAN_FLOAT)
		return (struct member_rank){
			{ 0, 0,
			  order_float(fold_floats(fold, member->step, at)) }
		};
	n = fold_integers(fold, member->step, at);
	return (struct member_rank){ { n.top ^ SIGN, n.high, n.low } };
}

/* --- Adding up ------------------------------------------------------------ */

void member_add(const struct member *member, const struct fold *fold,
		const char *bytes, struct member_sum *sum)
{
	const char *at = bytes + member->offset;
	struct number all = { sum->low, sum->high, sum->top };

	if (member->step->kind == PLAN_FLOAT) {
		sum->real += fold_floats(fold, member->step, at);
		return;
	}
	all = fold_add(all, fold_integers(fold, member->step, at));
	sum->low = all.low;
	sum->high = all.high;
	sum->top = all.top;
}

void member_write_sum(const struct member *member, const struct member_sum *sum,
		      struct term_writer *w)
{
	char term[FOLD_MAX_TERM + PUT_TERM_SLACK];
	const char *end =
		member->step->kind == PLAN_FLOAT
			? put_float(term, sum->real)
			: put_number(term, (struct number){ sum->low, sum->high,
							    sum->top });

	term_write_raw(w, term, (size_t)(end - term));
}
