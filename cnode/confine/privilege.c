/* SPDX-License-Identifier: Apache-2.0 */
/* The user and the capabilities of this process. */
#include "confine/privilege.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/log.h"
#include "host/user.h"

void privilege_begin(bool hide)
{
	cap_reset_ambient(); /* fails on kernels without them */
	if (hide)
		prctl(PR_SET_DUMPABLE, 0);
}

static int become(const struct user *user)
{
	if (prctl(PR_SET_KEEPCAPS, 1) < 0 ||
	    setgroups((size_t)user->group_count, user->groups) < 0 ||
	    setresgid(user->gid, user->gid, user->gid) < 0 ||
	    setresuid(user->uid, user->uid, user->uid) < 0 ||
	    prctl(PR_SET_KEEPCAPS, 0) < 0)
		return -errno;
	return 0;
}

enum exit_status privilege_change_user(const struct user *user)
{
	int error = user->name ? become(user) : 0;

	if (error == 0)
		return STATUS_OK;
	log_error("--user %s: this process may not change its user: %s; start "
		  "it as root, or as that user without --user",
		  user->name, strerror(-error));
	return STATUS_PRIVILEGE;
}

void privilege_give(const char *folder, const struct user *user)
{
	if (user->name && chown(folder, user->uid, user->gid) < 0)
		log_info("cannot change the owner of %s to %s: %s", folder,
			 user->name, strerror(errno));
}

/* README.md says for what. */
static const struct {
	cap_value_t capability;
	unsigned privilege;
	const char *name;
} capabilities[] = {
	{ CAP_BPF, PRIVILEGE_BPF, "cap_bpf" },
	{ CAP_NET_ADMIN, PRIVILEGE_NET_ADMIN, "cap_net_admin" },
	{ CAP_SYS_ADMIN, PRIVILEGE_SYS_ADMIN, "cap_sys_admin" },
	{ CAP_PERFMON, PRIVILEGE_PERFMON, "cap_perfmon" },
	{ CAP_DAC_READ_SEARCH, PRIVILEGE_DAC_READ_SEARCH,
	  "cap_dac_read_search" },
};

#define CAPABILITIES (sizeof(capabilities) / sizeof(capabilities[0]))

/* Adds to caps those of the set that were permitted. */
static int choose(cap_t caps, cap_t permitted, unsigned set)
{
	cap_flag_value_t there;

	for (size_t i = 0; i < CAPABILITIES; i++) {
		const cap_value_t *one = &capabilities[i].capability;

		if (!(capabilities[i].privilege & set))
			continue;
		if (cap_get_flag(permitted, *one, CAP_PERMITTED, &there) < 0)
			return -errno;
		if (there == CAP_SET &&
		    (cap_set_flag(caps, CAP_PERMITTED, 1, one, CAP_SET) < 0 ||
		     cap_set_flag(caps, CAP_EFFECTIVE, 1, one, CAP_SET) < 0))
			return -errno;
	}
	return 0;
}

/*
 * So that no program run later can gain any. Without CAP_SETPCAP, no_new_privs
 * has to do.
 */
static void empty_bounding_set(cap_t permitted)
{
	const cap_value_t setpcap = CAP_SETPCAP;
	cap_flag_value_t there;

	if (cap_get_flag(permitted, setpcap, CAP_PERMITTED, &there) < 0 ||
	    there != CAP_SET ||
	    cap_set_flag(permitted, CAP_EFFECTIVE, 1, &setpcap, CAP_SET) < 0 ||
	    cap_set_proc(permitted) < 0)
		return;
	for (cap_value_t c = 0; c < cap_max_bits(); c++)
		cap_drop_bound(c);
}

/* A container may refuse capset(2), which does no harm if nothing is to drop.
 */
static int set(cap_t caps)
{
	int error = cap_set_proc(caps) < 0 ? -errno : 0;
	cap_t now = error < 0 ? cap_get_proc() : NULL;

	if (now && CAP_DIFFERS(cap_compare(now, caps), CAP_PERMITTED) == 0)
		error = 0;
	cap_free(now);
	return error;
}

static const char *names_of(unsigned set)
{
	static char text[128];
	int at = 0;

	for (size_t i = 0; i < CAPABILITIES; i++)
		if (capabilities[i].privilege & set)
			at += snprintf(text + at, sizeof(text) - (size_t)at,
				       "%s%s", at > 0 ? ", " : "",
				       capabilities[i].name);
	return text;
}

static int keep(unsigned privileges, bool for_good)
{
	cap_t permitted = cap_get_proc(), caps = cap_init();
	int error = permitted && caps ? choose(caps, permitted, privileges)
				      : -errno;

	if (error == 0) {
		if (for_good)
			empty_bounding_set(permitted);
		error = set(caps);
	}
	cap_free(permitted);
	cap_free(caps);
	return error;
}

enum exit_status privilege_keep(unsigned privileges)
{
	int error = keep(privileges, true);

	if (error == 0)
		return STATUS_OK;
	log_error("cannot drop capabilities: %s; if capset(2) is refused, "
		  "start it with no more than %s",
		  strerror(-error), names_of(privileges));
	return STATUS_OTHER;
}

int privilege_narrow(unsigned privileges)
{
	return keep(privileges, false);
}

bool privilege_has(enum privilege privilege)
{
	cap_t caps = cap_get_proc();
	cap_flag_value_t there = CAP_CLEAR;

	for (size_t i = 0; caps && i < CAPABILITIES; i++)
		if (capabilities[i].privilege == (unsigned)privilege &&
		    cap_get_flag(caps, capabilities[i].capability,
				 CAP_PERMITTED, &there) < 0)
			there = CAP_CLEAR;
	cap_free(caps);
	return there == CAP_SET;
}

bool privilege_may_make_maps(void)
{
	static const cap_value_t either[] = { CAP_BPF, CAP_SYS_ADMIN };
	cap_t caps = cap_get_proc();
	cap_flag_value_t there;
	bool may = false;

	for (size_t i = 0; caps && i < 2; i++)
		may |= cap_get_flag(caps, either[i], CAP_EFFECTIVE, &there) ==
			       0 &&
		       there == CAP_SET;
	cap_free(caps);
	return may;
}
