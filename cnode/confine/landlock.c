/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Restricts files and ports with Landlock. libc has no functions for it and its
 * headers are often older than the kernel, so the interface is declared here,
 * with the names of landlock(7).
 *
 * Landlock does not restrict O_PATH, by which files and cgroups are opened, so
 * they need no rule here; nor stat(2); nor opening a pin by bpf(2).
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
#include "host/cpus.h"

#define CREATE_RULESET_VERSION 1u /* a flag: return the version */

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

/* All that a version can forbid; fs_rights counts bits. */
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

static int forbid_all(int version, uint64_t scopes)
{
	struct ruleset all = { 0 };
	long fd;

	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		if (versions[i].version > version)
			continue;
		all.fs = (1ull << versions[i].fs_rights) - 1;
		all.net = versions[i].net;
		all.scoped = versions[i].scoped & scopes;
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
 * The rule is bound to the inode. procfs drops inodes when memory is short, and
 * the new one would not match, so the folder stays open.
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

/* A mount that cannot be entered needs no rule. */
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
 * All bpf file systems may be read, to report where maps are pinned; with a
 * root, only pins below it may be made and removed. A root that lies above bpf
 * file systems contains other files too, so their mounts get the rule instead.
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

/* What is not there needs no rule. */
static int allow_reading(int ruleset, const struct landlock_path *path)
{
	static const uint64_t rights[] = {
		[LANDLOCK_FILE] = FS_READ_FILE,
		[LANDLOCK_FOLDER] = FS_READ_FILE | FS_READ_DIR,
		[LANDLOCK_NAMES] = FS_READ_DIR,
	};
	int fd = open(path->path, O_PATH | O_CLOEXEC);

	if (fd < 0)
		return errno == EMFILE || errno == ENFILE || errno == ENOMEM
			       ? -errno
			       : 0;
	/* it stays open: see allow_own_proc() */
	return allow_below(ruleset, fd, rights[path->kind]);
}

static int allow_folders(int ruleset, const struct landlock_limits *limits)
{
	int error = 0;

	for (size_t i = 0; error == 0 && i < limits->folder_count; i++)
		error = allow_reading(
			ruleset, &(struct landlock_path){ limits->folders[i],
							  LANDLOCK_FOLDER });
	return error;
}

static int allow_epmd(int ruleset, uint16_t port)
{
	struct net_port rule = { .allowed = NET_CONNECT_TCP, .port = port };

	return syscall(SYS_landlock_add_rule, ruleset, RULE_NET_PORT, &rule,
		       0) < 0
		       ? -errno
		       : 0;
}

static long version_here(void)
{
	return syscall(SYS_landlock_create_ruleset, NULL, 0,
		       CREATE_RULESET_VERSION);
}

int landlock_prepare(const struct landlock_path *paths, size_t count)
{
	long version = version_here();
	int ruleset, error = 0;

	if (version < 0)
		return errno == EOPNOTSUPP ? -ENOSYS : -errno;
	ruleset = forbid_all((int)version, UINT64_MAX);
	if (ruleset < 0)
		return ruleset;
	for (size_t i = 0; error == 0 && i < count; i++)
		error = allow_reading(ruleset, &paths[i]);
	if (error == 0)
		return ruleset;
	close(ruleset);
	return error;
}

int landlock_enter(int ruleset)
{
	return syscall(SYS_landlock_restrict_self, ruleset, 0) < 0 ? -errno : 0;
}

int landlock_confine(const struct landlock_limits *limits)
{
	static const struct landlock_path counting = {
		"/proc/sys/kernel/bpf_stats_enabled", LANDLOCK_FILE
	};
	static const struct landlock_path online = { CPUS_ONLINE,
						     LANDLOCK_FILE };
	long version = version_here();
	int ruleset, error;

	if (version < 0)
		return errno == EOPNOTSUPP ? -ENOSYS : -errno;
	ruleset = forbid_all((int)version,
			     limits->signals ? ~SCOPE_SIGNAL : UINT64_MAX);
	if (ruleset < 0)
		return ruleset;
	error = allow_own_proc(ruleset);
	if (error == 0)
		error = allow_pins(ruleset, limits->pin_root);
	if (error == 0 && limits->keep >= 0)
		error = allow_below(ruleset, limits->keep,
				    FS_READ_DIR | FS_PINS);
	if (error == 0 && limits->netns_root >= 0)
		error = allow_below(ruleset, limits->netns_root, FS_READ_FILE);
	/* what host/0 tells: names of cgroups, and how many processors run */
	if (error == 0 && limits->cgroups >= 0)
		error = allow_below(ruleset, limits->cgroups, FS_READ_DIR);
	if (error == 0)
		error = allow_reading(ruleset, &online);
	if (error == 0)
		error = allow_folders(ruleset, limits);
	if (error == 0 && limits->counting)
		error = allow_reading(ruleset, &counting);
	if (error == 0 && version >= LANDLOCK_WITH_NET && limits->epmd_port > 0)
		error = allow_epmd(ruleset, limits->epmd_port);
	if (error == 0)
		error = landlock_enter(ruleset);
	close(ruleset);
	return error < 0 ? error : (int)version;
}
