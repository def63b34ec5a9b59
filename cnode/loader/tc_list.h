/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TC_LIST_H
#define TC_LIST_H

#include <linux/rtnetlink.h>
#include <stdint.h>

/* A qdisc, or a filter. */
struct tc_entry {
	const struct tcmsg *message;
	const char *kind; /* "clsact"; empty: it was not told */
	uint32_t chain;   /* of a filter */
};

typedef void (*tc_visitor)(const struct tc_entry *entry, void *context);

/*
 * What there is of traffic control, as libbpf does not tell it: RTM_GETQDISC
 * has the qdiscs of all interfaces, RTM_GETTFILTER the filters of one side of
 * one interface. 0 or -errno; where there is no such side there are none.
 */
int tc_list(uint16_t type, const struct tcmsg *of, tc_visitor visit,
	    void *context);

#endif
