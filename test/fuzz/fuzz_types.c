/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes typed keys and values. A byte chooses: a layout, and behind it bytes
 * of a value; or BTF, whose size two bytes tell, and each of whose types is
 * taken. Of each plan, the layout that is written of it makes the same one. The
 * bytes become a term, which becomes the same bytes but for what nobody sees.
 */
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <math.h>

#include "fuzz.h"
#include "types/btf_read.h"
#include "types/btf_write.h"
#include "types/decode.h"
#include "types/encode.h"
#include "types/layout_read.h"
#include "types/layout_write.h"
#include "types/member.h"

#define MAX_SIZE 4096 /* bytes of a value */
#define MAX_ENCODED ((size_t)1 << 20)
#define MAX_TYPES 32
#define CPUS 3

static struct term_writer first, second; /* shared: they allocate at once */

static bool is_term(const struct term_writer *w)
{
	return term_check(w->buf, w->pos) == (ssize_t)w->pos;
}

static struct term written(const struct term_writer *w)
{
	struct term t = { w->buf, w->pos };

	REQUIRE(!w->failed && is_term(w));
	return t;
}

/* --- Plans -------------------------------------------------------------- */

static bool same_name(const struct plan *a, uint32_t a_name,
		      const struct plan *b, uint32_t b_name, uint32_t size)
{
	return size == 0 ||
	       memcmp(a->names + a_name, b->names + b_name, size) == 0;
}

static void require_same(const struct plan *a, const struct plan *b)
{
	REQUIRE(a->size == b->size);
	REQUIRE(a->steps[0].max_encoded[PLAN_AS_MAP] ==
		b->steps[0].max_encoded[PLAN_AS_MAP]);
	REQUIRE(a->step_count == b->step_count);
	REQUIRE(a->constant_count == b->constant_count);
	for (uint32_t i = 0; i < a->step_count; i++) {
		const struct plan_step *one = &a->steps[i];
		const struct plan_step *other = &b->steps[i];

		REQUIRE(one->kind == other->kind && one->size == other->size &&
			one->is_signed == other->is_signed &&
			one->is_flexible == other->is_flexible &&
			one->bit_size == other->bit_size &&
			one->bit_offset == other->bit_offset &&
			one->count == other->count &&
			one->next == other->next &&
			one->place == other->place &&
			one->constants == other->constants &&
			one->name_size == other->name_size);
		REQUIRE(same_name(a, one->name, b, other->name,
				  one->name_size));
	}
	for (uint32_t i = 0; i < a->constant_count; i++) {
		const struct plan_constant *one = &a->constants[i];
		const struct plan_constant *other = &b->constants[i];

		REQUIRE(one->value == other->value &&
			one->name_size == other->name_size);
		REQUIRE(same_name(a, one->name, b, other->name,
				  one->name_size));
	}
}

/* In memory of their own, so that reading past their end is seen. */
static struct plan *read_again(const struct plan *plan)
{
	struct plan *again = NULL;
	struct term t;
	char *copy;

	term_writer_rewind(&first, 0);
	layout_write(plan, &first);
	t = written(&first);
	copy = fuzz_copy(t.at, t.size);
	REQUIRE(layout_read((struct term){ copy, t.size }, plan->size,
			    &again) == 0);
	free(copy);
	return again;
}

static void try_layout(const struct plan *plan)
{
	struct plan *again = read_again(plan);

	require_same(plan, again);
	plan_free(again);
}

/* --- What is seen of the bytes ------------------------------------------ */

/* A bit for each bit of the value that its term shows. */
struct seen {
	const struct plan *plan;
	const char *bytes;
	unsigned char *mask;
	bool nan; /* there is one, whose bits may change */
};

static const struct plan_step *behind(const struct plan *plan,
				      const struct plan_step *step)
{
	return plan->steps + step->next;
}

/* The alternative that is put: the first that shows anything. */
static const struct plan_step *chosen(const struct plan *plan,
				      const struct plan_step *of)
{
	for (const struct plan_step *step = of + 1; step < behind(plan, of);
	     step = behind(plan, step)) {
		bool members =
			step->kind == PLAN_STRUCT || step->kind == PLAN_UNION;

		if (step->kind != PLAN_HIDDEN &&
		    (step->name_size > 0 || !members ||
		     step->shown[PLAN_AS_MAP] > 0))
			return step;
	}
	return NULL;
}

static bool is_nan(const struct plan_step *step, const char *at)
{
	double value;
	float single;

	memcpy(&single, at, sizeof(single));
	if (step->size == sizeof(single))
		return isnan(single);
	memcpy(&value, at, sizeof(value));
	return isnan(value);
}

/* As the host counts the bits of a bit-field. */
static void mark(struct seen *seen, uint64_t from, uint64_t bits)
{
	for (uint64_t bit = from; bit < from + bits; bit++)
		seen->mask[bit / 8] |=
			(unsigned char)(__BYTE_ORDER__ ==
							__ORDER_LITTLE_ENDIAN__
						? 1u << bit % 8
						: 0x80u >> bit % 8);
}

static void look(struct seen *seen, const struct plan_step *step, uint64_t at)
{
	const struct plan_step *one = NULL;
	const char *bytes = seen->bytes + at / 8;

	switch (step->kind) {
	case PLAN_HIDDEN:
		return;
	case PLAN_ARRAY:
		for (uint32_t i = 0; i < step->count; i++)
			look(seen, step + 1, at + 8ull * i * step[1].size);
		return;
	case PLAN_UNION:
		one = chosen(seen->plan, step);
		if (one)
			look(seen, one, at + one->bit_offset);
		return;
	case PLAN_STRUCT:
		for (one = step + 1; one < behind(seen->plan, step);
		     one = behind(seen->plan, one))
			look(seen, one, at + one->bit_offset);
		return;
	case PLAN_CHARS:
		mark(seen, at, 8 * strnlen(bytes, step->size));
		return;
	case PLAN_FLOAT:
		seen->nan = seen->nan || is_nan(step, bytes);
		break;
	default:
		break;
	}
	mark(seen, at, step->bit_size ? step->bit_size : 8ull * step->size);
}

/* --- Terms with one alternative of each union --------------------------- */

struct narrowing {
	const struct plan *plan;
	enum plan_form form;
	struct term_writer *w;
	bool otherwise; /* atoms and lists in place of binaries */
};

static void write_key(const struct narrowing *n, struct term key,
		      const char *name, size_t size)
{
	char atom[256];

	if (n->otherwise && size < sizeof(atom) && !memchr(name, 0, size)) {
		memcpy(atom, name, size);
		atom[size] = '\0';
		term_write_atom(n->w, atom);
	} else {
		term_write_term(n->w, key);
	}
}

static void write_text(const struct narrowing *n, struct term t)
{
	const char *text;
	size_t size;

	REQUIRE(term_read_binary(t, &text, &size));
	if (!n->otherwise) {
		term_write_term(n->w, t);
		return;
	}
	if (size > 0)
		term_write_list(n->w, (int)size);
	for (size_t i = 0; i < size; i++)
		term_write_uint(n->w, (unsigned char)text[i]);
	term_write_nil(n->w);
}

static void narrow(const struct narrowing *n, const struct plan_step *step,
		   struct term t);

static bool is_kept(const struct plan *plan, const struct plan_step *of,
		    const struct plan_step *member)
{
	for (const struct plan_step *step = of + 1; step < behind(plan, of);
	     step = behind(plan, step)) {
		if (member < step || member >= behind(plan, step))
			continue;
		if (of->kind == PLAN_UNION && chosen(plan, of) != step)
			return false;
		return member == step || is_kept(plan, step, member);
	}
	return false;
}

static void narrow_map(const struct narrowing *n, const struct plan_step *of,
		       struct term t)
{
	size_t open = term_write_map_open(n->w);
	struct term_items items;
	struct term key, value;
	uint32_t count = 0, guess = 0;
	const char *name;
	size_t size;

	REQUIRE(term_map(t, &items));
	REQUIRE(items.left == 2 * of->shown[PLAN_AS_MAP]);
	while (term_next(&items, &key) && term_next(&items, &value)) {
		const struct plan_step *member;

		REQUIRE(term_read_binary(key, &name, &size));
		member = plan_find_member(n->plan, of, name, size, &guess);
		REQUIRE(member);
		if (!is_kept(n->plan, of, member))
			continue;
		write_key(n, key, name, size);
		narrow(n, member, value);
		count++;
	}
	term_write_map_close(n->w, open, count);
}

static void narrow_list(const struct narrowing *n, const struct plan_step *step,
			struct term t)
{
	struct term_items items;
	struct term item;

	REQUIRE(term_list(t, &items) && items.left == step->count);
	if (step->count > 0)
		term_write_list(n->w, (int)step->count);
	while (term_next(&items, &item))
		narrow(n, step + 1, item);
	REQUIRE(term_end(&items));
	term_write_nil(n->w);
}

static void narrow_tuple(const struct narrowing *n, const struct plan_step *of,
			 struct term t)
{
	struct term_items items;
	struct term item;

	REQUIRE(term_tuple(t, &items));
	REQUIRE(items.left == of->shown[PLAN_AS_TUPLE]);
	term_write_raw(n->w, t.at, (size_t)(items.pos - t.at));
	for (const struct plan_step *step = of + 1; step < behind(n->plan, of);
	     step = behind(n->plan, step))
		if (step->kind != PLAN_HIDDEN) {
			REQUIRE(term_next(&items, &item));
			narrow(n, step, item);
		}
}

static void narrow(const struct narrowing *n, const struct plan_step *step,
		   struct term t)
{
	if (step->kind == PLAN_ARRAY)
		narrow_list(n, step, t);
	else if (step->kind == PLAN_STRUCT && n->form == PLAN_AS_TUPLE)
		narrow_tuple(n, step, t);
	else if (step->kind == PLAN_STRUCT || step->kind == PLAN_UNION)
		narrow_map(n, step, t);
	else if (step->kind == PLAN_CHARS)
		write_text(n, t);
	else
		term_write_term(n->w, t);
}

/* --- There and back ----------------------------------------------------- */

static void try_path(const struct encode_path *path)
{
	REQUIRE(path->count <= PLAN_MAX_DEPTH);
	term_writer_rewind(&second, 0);
	encode_write_path(path, &second);
	written(&second);
}

/* Some bytes of the term are changed, as the data say. */
static void try_spoilt(const struct plan *plan, enum plan_form form,
		       struct term t, const uint8_t *data, size_t size)
{
	char *copy = fuzz_copy(t.at, t.size), *bytes = malloc(plan->size);
	struct encode_path path;

	for (size_t i = 0; i + 2 < size && i < 30; i += 3)
		copy[(data[i] << 8 | data[i + 1]) % t.size] = (char)data[i + 2];
	if (term_check(copy, t.size) == (ssize_t)t.size &&
	    !encode(plan, form, (struct term){ copy, t.size }, bytes, &path))
		try_path(&path);
	free(bytes);
	free(copy);
}

static void try_back(const struct plan *plan, enum plan_form form,
		     struct term t, const char *from)
{
	char *bytes = malloc(plan->size), *copy = fuzz_copy(t.at, t.size);
	unsigned char *mask = calloc(1, plan->size);
	struct seen seen = { plan, from, mask, false };
	struct encode_path path;

	REQUIRE(encode(plan, form, (struct term){ copy, t.size }, bytes,
		       &path));
	look(&seen, plan->steps, 0);
	for (uint32_t i = 0; i < plan->size && !seen.nan; i++)
		REQUIRE((bytes[i] & 0xff) == ((from[i] & 0xff) & mask[i]));
	free(mask);
	free(copy);
	free(bytes);
}

/* All that fits is written, near a limit too, and not a byte more. */
static void try_limits(const struct plan *plan, enum plan_form form,
		       const char *bytes, struct term whole)
{
	size_t limit = second.limit;

	term_writer_rewind(&second, 0);
	second.limit = whole.size;
	decode(plan, form, bytes, &second);
	REQUIRE(!second.failed && second.pos == whole.size &&
		memcmp(second.buf, whole.at, whole.size) == 0);
	term_writer_rewind(&second, 0);
	second.limit = whole.size - 1;
	decode(plan, form, bytes, &second);
	REQUIRE(second.failed && !second.no_memory);
	second.limit = limit;
	term_writer_rewind(&second, 0);
}

static void try_form(const struct plan *plan, enum plan_form form,
		     const char *bytes, const uint8_t *data, size_t size)
{
	struct narrowing n = { plan, form, &second, false };
	struct term whole;

	term_writer_rewind(&first, 0);
	decode(plan, form, bytes, &first);
	whole = written(&first);
	REQUIRE(whole.size <= plan->steps[0].max_encoded[form]);
	try_limits(plan, form, bytes, whole);
	for (int i = 0; i < 2; i++) {
		n.otherwise = i == 0;
		term_writer_rewind(&second, 0);
		narrow(&n, plan->steps, whole);
		/* a name need not be the text of an atom */
		if (!n.otherwise || is_term(&second))
			try_back(plan, form, written(&second), bytes);
	}
	try_spoilt(plan, form, written(&second), data, size);
	try_spoilt(plan, form, whole, data, size);
}

/* --- Some of it, and all CPUs ------------------------------------------- */

static void try_members(const struct plan *plan, const char *bytes)
{
	const struct plan_step *top = plan->steps;
	struct decode_choice choice = { calloc(plan->step_count, sizeof(top)),
					0 };

	REQUIRE(!decode_find(plan, "", 0));
	for (uint32_t i = 0; i < top->by_name_count; i++) {
		const struct plan_step *step =
			&top[plan->by_name[top->by_name + i]];
		bool found =
			top->kind == PLAN_STRUCT && step->kind != PLAN_HIDDEN;

		REQUIRE(decode_find(plan, plan->names + step->name,
				    step->name_size) == (found ? step : NULL));
		if (found)
			choice.members[choice.count++] = step;
	}
	term_writer_rewind(&first, 0);
	decode_members(plan, PLAN_AS_MAP, &choice, bytes, &first);
	REQUIRE(written(&first).size <=
		decode_members_size(PLAN_AS_MAP, &choice));
	free(choice.members);
}

static void try_fold(const struct plan *plan, enum plan_form form,
		     const char *bytes)
{
	struct fold fold = { FOLD_SUM, 1, plan->size };

	term_writer_rewind(&first, 0);
	term_writer_rewind(&second, 0);
	decode(plan, form, bytes, &first);
	decode_fold(plan, form, &fold, bytes, &second);
	REQUIRE(first.pos == second.pos &&
		memcmp(first.buf, second.buf, first.pos) == 0);
	/* the values of the others are the same: of an unsigned, thrice as much
	 */
	fold.cpus = CPUS;
	fold.stride = 0;
	for (fold.op = FOLD_SUM; fold.op <= FOLD_MIN; fold.op++) {
		term_writer_rewind(&second, 0);
		decode_fold(plan, form, &fold, bytes, &second);
		REQUIRE(written(&second).size <= fold_size(plan, form));
		REQUIRE(fold.op == FOLD_SUM ||
			(first.pos == second.pos &&
			 memcmp(first.buf, second.buf, first.pos) == 0));
	}
}

/* --- One number --------------------------------------------------------- */

static void try_number(const struct plan *plan, const char *bytes,
		       struct term t)
{
	const struct fold alone = { FOLD_SUM, 1, 0 };
	struct member_sum sum = { .low = 0 };
	struct member_rank rank;
	struct encode_path path;
	struct member member;
	int error = member_find(plan, t, &member, &path);

	REQUIRE(error == 0 || error == -EINVAL || error == -ENOENT);
	if (error == -ENOENT)
		try_path(&path);
	if (error < 0)
		return;
	rank = member_rank(&member, &alone, bytes);
	REQUIRE(member_compare(&rank, &rank) == 0);
	member_add(&member, &alone, bytes, &sum);
	term_writer_rewind(&second, 0);
	member_write_sum(&member, &sum, &second);
	written(&second);
}

/* Those of the outermost structure, and what the data say. */
static void try_numbers(const struct plan *plan, const char *bytes,
			const uint8_t *data, size_t size)
{
	const struct plan_step *top = plan->steps;
	ssize_t checked = term_check((const char *)data, size);

	for (uint32_t i = 0; i < top->by_name_count; i++) {
		const struct plan_step *step =
			&top[plan->by_name[top->by_name + i]];

		term_writer_rewind(&first, 0);
		term_write_binary(&first, plan->names + step->name,
				  step->name_size);
		try_number(plan, bytes, written(&first));
	}
	term_writer_rewind(&first, 0);
	term_write_nil(&first);
	try_number(plan, bytes, written(&first));
	if (checked > 0) {
		char *copy = fuzz_copy(data, (size_t)checked);

		try_number(plan, bytes, (struct term){ copy, (size_t)checked });
		free(copy);
	}
}

static void try_plan(const struct plan *plan, const uint8_t *data, size_t size)
{
	char *bytes;

	try_layout(plan);
	if (plan->size > MAX_SIZE ||
	    plan->steps[0].max_encoded[PLAN_AS_MAP] > MAX_ENCODED ||
	    plan->steps[0].max_encoded[PLAN_AS_TUPLE] > MAX_ENCODED)
		return;
	bytes = calloc(1, plan->size);
	REQUIRE(bytes);
	memcpy(bytes, data, size < plan->size ? size : plan->size);
	for (enum plan_form form = 0; form < PLAN_FORMS; form++) {
		try_form(plan, form, bytes, data, size);
		if (fold_check(plan) == 0)
			try_fold(plan, form, bytes);
	}
	if (plan->steps[0].kind == PLAN_STRUCT ||
	    plan->steps[0].kind == PLAN_UNION)
		try_members(plan, bytes);
	try_numbers(plan, bytes, data, size);
	free(bytes);
}

/* --- Where plans come from ---------------------------------------------- */

static void try_term(const uint8_t *data, size_t size)
{
	ssize_t checked = term_check((const char *)data, size);
	struct plan *plan = NULL;
	struct term t;
	char *copy;
	int error;

	if (checked < 0)
		return;
	copy = fuzz_copy(data, (size_t)checked);
	t = (struct term){ copy, (size_t)checked };
	error = layout_read(t, 0, &plan);
	REQUIRE(error == 0 || error == -EINVAL || error == -E2BIG);
	if (error == 0) {
		struct plan *other = NULL;

		REQUIRE(layout_read(t, plan->size + 1, &other) == -EINVAL);
		try_plan(plan, data + checked, size - (size_t)checked);
		plan_free(plan);
	}
	free(copy);
}

/* What BTF cannot say is refused; of the rest, the bytes are as many. */
static void try_write(const struct plan *plan)
{
	struct btf_types types = { 0 };
	struct plan *again = NULL;
	int error = btf_write(plan, plan, &types);

	if (error < 0)
		return;
	REQUIRE(types.key > 0 && types.value > 0);
	error = btf_read(types.btf, types.value, plan->size, &again);
	REQUIRE(error == 0 || error == -E2BIG);
	plan_free(again);
	btf__free(types.btf);
}

static void try_btf(const uint8_t *data, size_t size)
{
	size_t btf_size = size < 2 ? 0 : (size_t)(data[0] << 8 | data[1]);
	struct btf *btf;

	if (size < 2 || btf_size > size - 2)
		return;
	btf = btf__new(data + 2, (uint32_t)btf_size);
	if (!btf)
		return;
	for (uint32_t id = 1; id < btf__type_cnt(btf) && id < MAX_TYPES; id++) {
		int64_t bytes = btf__resolve_size(btf, id);
		struct plan *plan = NULL;

		if (bytes <= 0 || bytes > UINT32_MAX ||
		    btf_read(btf, id, (uint32_t)bytes, &plan) < 0)
			continue;
		try_plan(plan, data + 2 + btf_size, size - 2 - btf_size);
		try_write(plan);
		plan_free(plan);
	}
	btf__free(btf);
}

static int say_nothing(enum libbpf_print_level level, const char *format,
		       va_list arguments)
{
	(void)level;
	(void)format;
	(void)arguments;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!first.limit) {
		libbpf_set_print(say_nothing);
		term_writer_init(&first);
		term_writer_init(&second);
	}
	if (size > 0 && data[0] % 2 == 0)
		try_term(data + 1, size - 1);
	else if (size > 0)
		try_btf(data + 1, size - 1);
	return 0;
}
