/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which files and ports this process can still reach, by Landlock. libc has no
 * functions for it, and headers are often older than the kernel: so its
 * interface is written down here, by the names of landlock(7).
 *
 * What Landlock does not look at: opening with O_PATH, which is how files and
 * cgroups are opened and needs no rule here; the names, owners and sizes of
 * files; opening a pin, which only bpf(2) can do.
 */
#include "confine/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/bpf_fs.h"

#define CREATE_RULESET_VERSION 1u /* as flag: tell the version */

enum rule_type {
	RULE_PATH_BENEATH = 1,
	RULE_NET_PORT = 2
};

#define FS_READ_FILE (1ull << 2)
#define FS_READ_DIR (1ull << 3)
#define FS_REMOVE_FILE (1ull << 5)
#define FS_MAKE_REG (1ull << 8)
#define NET_BIND_TCP (1ull << 0)
#define NET_CONNECT_TCP (1ull << 1)
#define SCOPE_ABSTRACT_UNIX_SOCKET (1ull << 0)
#define SCOPE_SIGNAL (1ull << 1)

#define FS_PINS (FS_MAKE_REG | FS_REMOVE_FILE)

struct ruleset {
	uint64_t fs;
	uint64_t net;
	uint64_t scoped;
};

struct path_beneath {
	uint64_t allowed;
	int32_t fd;
} __attribute__((packed));

struct net_port {
	uint64_t allowed;
	uint64_t port;
};

/* All that a version can forbid: so many rights on files, and the rest. */
static const struct {
	int version;
	unsigned fs_rights;
	uint64_t net, scoped;
} versions[] = {
	{ 6, 16, NET_BIND_TCP | NET_CONNECT_TCP,
	  SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL },
	{ 5, 16, NET_BIND_TCP | NET_CONNECT_TCP, 0 },
	{ 4, 15, NET_BIND_TCP | NET_CONNECT_TCP, 0 },
	{ 3, 15, 0, 0 },
	{ 2, 14, 0, 0 },
	{ 1, 13, 0, 0 },
};

static int forbid_all(int version)
{
	struct ruleset all = { 0 };
	long fd;

	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		if (versions[i].version > version)
			continue;
		all.fs = (1ull << versions[i].fs_rights) - 1;
		all.net = versions[i].net;
		all.scoped = versions[i].scoped;
		break;
	}
	fd = syscall(SYS_landlock_create_ruleset, &all, sizeof(all), 0);
	return fd < 0 ? -errno : (int)fd;
}

static int allow_below(int ruleset, int folder, uint64_t rights)
{
	struct path_beneath rule = { .allowed = rights, .fd = folder };

	return syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &rule,
		       0) < 0
		       ? -errno
		       : 0;
}

/*
 * The rule holds for the folder as it is now: procfs forgets its folders when
 * memory is short and makes them anew, but not while one is open.
 */
static int allow_own_proc(int ruleset)
{
	static int stays_open;

	stays_open = open("/proc/self", O_PATH | O_CLOEXEC);
	return stays_open < 0 ? -errno
			      : allow_below(ruleset, stays_open, FS_READ_FILE);
}

struct pins_rule {
	int ruleset;
	uint64_t rights;
};

/* Where one cannot go, no rule is needed. */
static int allow_mount(void *context, const char *path)
{
	const struct pins_rule *rule = context;
	int folder = open(path, O_PATH | O_CLOEXEC), error = 0;

	if (folder < 0)
		return bpf_fs_shortage(-errno);
	if (bpf_fs_has(folder)) /* another mount may hide it */
		error = allow_below(rule->ruleset, folder, rule->rights);
	close(folder);
	return error;
}

/*
 * Where pins are is told of all, with or without a root for new ones. A root
 * above bpf file systems has other files below it as well.
 */
static int allow_pins(int ruleset, int pin_root)
{
	struct pins_rule rule = {
		ruleset,
		pin_root < 0 ? FS_READ_DIR | FS_PINS : FS_READ_DIR,
	};
	int error = bpf_fs_each_mount(NULL, allow_mount, &rule);

	if (error < 0 || pin_root < 0)
		return error;
	rule.rights = FS_READ_DIR | FS_PINS;
	return bpf_fs_has(pin_root)
		       ? allow_below(ruleset, pin_root, rule.rights)
		       : bpf_fs_each_mount_below(pin_root, allow_mount, &rule);
}

static int allow_epmd(int ruleset, uint16_t port)
{
	struct net_port rule = { .allowed = NET_CONNECT_TCP, .port = port };

	return syscall(SYS_landlock_add_rule, ruleset, RULE_NET_PORT, &rule,
		       0) < 0
		       ? -errno
		       : 0;
}

int landlock_confine(const struct landlock_limits *limits)
{
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0,
			       CREATE_RULESET_VERSION);
	int ruleset, error;

	if (version < 0)
		return errno == EOPNOTSUPP ? -ENOSYS : -errno;
	ruleset = forbid_all((int)version);
	if (ruleset < 0)
		return ruleset;
	error = allow_own_proc(ruleset);
	if (error == 0)
		error = allow_pins(ruleset, limits->pin_root);
	if (error == 0 && version >= LANDLOCK_WITH_NET)
		error = allow_epmd(ruleset, limits->epmd_port);
	if (error == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		error = -errno;
	close(ruleset);
	return error < 0 ? error : (int)version;
}
