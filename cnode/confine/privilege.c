/* SPDX-License-Identifier: Apache-2.0 */
/* The user and the capabilities of this process. */
#include "confine/privilege.h"

#include <errno.h>
#include <grp.h>
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

/* bpf(2) needs these; README.md says for what. */
static const struct {
	cap_value_t capability;
	bool for_ids; /* only where maps are opened by their ids */
} needed[] = {
	{ CAP_BPF, false },
	{ CAP_NET_ADMIN, false },
	{ CAP_SYS_ADMIN, true },
};

/* Adds to caps those of needed that were permitted. */
static int choose(cap_t caps, cap_t permitted, bool open_by_id)
{
	cap_flag_value_t there;

	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		const cap_value_t *one = &needed[i].capability;

		if (needed[i].for_ids && !open_by_id)
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

enum exit_status privilege_keep(bool open_by_id)
{
	cap_t permitted = cap_get_proc(), caps = cap_init();
	int error = permitted && caps ? choose(caps, permitted, open_by_id)
				      : -errno;

	if (error == 0) {
		empty_bounding_set(permitted);
		error = set(caps);
	}
	cap_free(permitted);
	cap_free(caps);
	if (error == 0)
		return STATUS_OK;
	log_error("cannot drop capabilities: %s; if capset(2) is refused, "
		  "start it with no more than cap_bpf, cap_net_admin%s",
		  strerror(-error), open_by_id ? ", cap_sys_admin" : "");
	return STATUS_OTHER;
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
