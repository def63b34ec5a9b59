/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filters of traffic control, for kernels without tcx.
 *
 * Each filter has a priority of its own, so `first' and `last' mean among all
 * that are there: one below the lowest, one above the highest. The first of all
 * gets the middle, for others to find room on both sides. Numbers that tc(8)
 * chooses itself, from 49152 on downwards, come behind it. No filter of others
 * is moved: where there is no room, as before one with priority 1, that is an
 * error.
 *
 * A clsact holds filters of everyone, and goes with all of them. Most who make
 * one leave it behind. Here the last filter of ours takes it along, if one of
 * ours made it, and nobody has put one of theirs there. That has to be known by
 * whichever ends last, so the filters say it themselves, by their handle: each
 * new one looks at those of ours that are there. One that is put there by
 * somebody else between the look and the removal is lost, as the kernel has no
 * command for both; it takes some microseconds.
 */
#include "loader/keep_tc.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/pkt_sched.h>
#include <string.h>

#include "loader/tc_list.h"

#define MIDDLE 0x8000u
#define HIGHEST 0xffffu
/* handles of our filters; any number will do, as priorities are their own */
#define OURS 0x0ebcf000u
#define OURS_AND_CLSACT (OURS | 1u) /* one of ours has made the clsact */
#define INGRESS_PARENT TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS)
#define EGRESS_PARENT TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS)

/* --- What is there ------------------------------------------------------ */

/* The qdisc of filters of an interface. */
struct place {
	uint32_t ifindex;
	bool taken;   /* there is one */
	bool two_way; /* it is a clsact, with an egress */
};

static void see_qdisc(const struct tc_entry *entry, void *context)
{
	struct place *place = context;

	if ((uint32_t)entry->message->tcm_ifindex != place->ifindex ||
	    entry->message->tcm_parent != TC_H_CLSACT)
		return;
	place->taken = true;
	place->two_way = strcmp(entry->kind, "clsact") == 0;
}

static int look_at_place(uint32_t ifindex, struct place *place)
{
	const struct tcmsg of = { .tcm_ifindex = (int)ifindex };

	*place = (struct place){ .ifindex = ifindex };
	return tc_list(RTM_GETQDISC, &of, see_qdisc, place);
}

/* The filters of one side. */
struct chain {
	unsigned count;
	uint32_t lowest, highest; /* priorities of those that packets come to */
	bool clsact_is_ours;
};

static void see_filter(const struct tc_entry *entry, void *context)
{
	struct chain *chain = context;
	uint32_t priority = TC_H_MAJ(entry->message->tcm_info) >> 16;

	chain->count++;
	if (entry->message->tcm_handle == OURS_AND_CLSACT)
		chain->clsact_is_ours = true;
	if (entry->chain != 0)
		return;
	if (priority < chain->lowest)
		chain->lowest = priority;
	if (priority > chain->highest)
		chain->highest = priority;
}

static int look_at_chain(uint32_t ifindex, bool egress, struct chain *chain)
{
	const struct tcmsg of = {
		.tcm_ifindex = (int)ifindex,
		.tcm_parent = egress ? EGRESS_PARENT : INGRESS_PARENT,
	};

	*chain = (struct chain){ .lowest = UINT32_MAX };
	return tc_list(RTM_GETTFILTER, &of, see_filter, chain);
}

static int look_at_both(uint32_t ifindex, struct chain chains[2])
{
	int error = look_at_chain(ifindex, false, &chains[0]);

	return error < 0 ? error : look_at_chain(ifindex, true, &chains[1]);
}

/* --- The clsact --------------------------------------------------------- */

static struct bpf_tc_hook hook_of(uint32_t ifindex,
				  enum bpf_tc_attach_point point)
{
	struct bpf_tc_hook hook = {
		.sz = sizeof(hook),
		.ifindex = (int)ifindex,
		.attach_point = point,
	};

	return hook;
}

/* Sets *made if there was none. */
static int make_clsact(uint32_t ifindex, bool egress, bool *made)
{
	struct bpf_tc_hook hook =
		hook_of(ifindex, BPF_TC_INGRESS | BPF_TC_EGRESS);
	struct place place;
	int error = look_at_place(ifindex, &place);

	if (error < 0)
		return error;
	/* the older qdisc called ingress takes those of egress for its own */
	if (place.taken)
		return egress && !place.two_way ? -EBUSY : 0;
	error = bpf_tc_hook_create(&hook);
	if (error == -EEXIST)
		return -EAGAIN;
	*made = error == 0;
	return error;
}

static int remove_if_empty(uint32_t ifindex)
{
	struct bpf_tc_hook hook =
		hook_of(ifindex, BPF_TC_INGRESS | BPF_TC_EGRESS);
	struct chain chains[2] = { { 0 } };
	struct place place;
	int error = look_at_place(ifindex, &place);

	if (error == 0 && place.taken && place.two_way)
		error = look_at_both(ifindex, chains);
	if (error < 0 || !place.two_way ||
	    chains[0].count + chains[1].count > 0)
		return error;
	return bpf_tc_hook_destroy(&hook);
}

/* --- The filter --------------------------------------------------------- */

static int choose_priority(const struct chain *chain, enum attach_order order,
			   uint32_t *priority)
{
	if (chain->highest == 0)
		*priority = MIDDLE;
	else if (order == ATTACH_FIRST)
		*priority = chain->lowest - 1;
	else
		*priority = chain->highest + 1;
	return *priority > 0 && *priority <= HIGHEST ? 0 : -ENOSPC;
}

static struct bpf_tc_hook side_of(const struct keep_tc *tc)
{
	return hook_of(tc->ifindex,
		       tc->egress ? BPF_TC_EGRESS : BPF_TC_INGRESS);
}

static int add_filter(int program_fd, const struct attach_target *target,
		      bool made, struct keep_tc *tc)
{
	LIBBPF_OPTS(bpf_tc_opts, filter, .prog_fd = program_fd);
	struct bpf_tc_hook side = side_of(tc);
	struct chain chains[2];
	int error = look_at_both(tc->ifindex, chains);

	if (error == 0)
		error = choose_priority(&chains[tc->egress], target->order,
					&tc->priority);
	if (error < 0)
		return error;
	made |= chains[0].clsact_is_ours || chains[1].clsact_is_ours;
	tc->handle = made ? OURS_AND_CLSACT : OURS;
	filter.handle = tc->handle;
	filter.priority = tc->priority;
	return bpf_tc_attach(&side, &filter);
}

static int read_id(int program_fd, uint32_t *id)
{
	struct bpf_prog_info info = { 0 };
	uint32_t size = sizeof(info);
	int error = bpf_obj_get_info_by_fd(program_fd, &info, &size);

	*id = info.id;
	return error;
}

int keep_tc_attach(int program_fd, const struct attach_target *target,
		   struct keep_tc *tc)
{
	bool made = false;
	int error;

	*tc = (struct keep_tc){ .ifindex = target->ifindex,
				.egress = target->egress };
	if (target->order != ATTACH_FIRST && target->order != ATTACH_LAST)
		return -EOPNOTSUPP;
	error = read_id(program_fd, &tc->program_id);
	if (error == 0)
		error = make_clsact(tc->ifindex, tc->egress, &made);
	if (error < 0)
		return error;
	error = add_filter(program_fd, target, made, tc);
	if (error < 0 && made)
		remove_if_empty(tc->ifindex);
	return error;
}

/* The interface, its qdisc or the filter may have gone. */
static bool is_gone(int error)
{
	return error == -ENOENT || error == -ENODEV || error == -EINVAL;
}

int keep_tc_detach(const struct keep_tc *tc)
{
	LIBBPF_OPTS(bpf_tc_opts, found, .handle = tc->handle,
		    .priority = tc->priority);
	LIBBPF_OPTS(bpf_tc_opts, filter, .handle = tc->handle,
		    .priority = tc->priority);
	struct bpf_tc_hook side = side_of(tc);
	int error = bpf_tc_query(&side, &found);

	/* or it has gone and come back, of somebody else */
	if (error == 0 && found.prog_id != tc->program_id)
		return 0;
	if (error == 0)
		error = bpf_tc_detach(&side, &filter);
	if (error == 0 && tc->handle == OURS_AND_CLSACT)
		error = remove_if_empty(tc->ifindex);
	return is_gone(error) ? 0 : error;
}
