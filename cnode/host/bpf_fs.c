/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bpf file systems of this host: where they are mounted, and the pins in
 * them. The kernel has no list of pins, so the folders are walked.
 */
#include "host/bpf_fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "host/names.h"

/* --- Mounts -------------------------------------------------------------- */

int bpf_fs_mount(void)
{
	struct statfs status;

	if (statfs(BPF_FS_ROOT, &status) < 0)
		return -errno;
	if (status.f_type == BPF_FS_MAGIC)
		return 0;
	return mount("bpf", BPF_FS_ROOT, "bpf",
		     MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") < 0
		       ? -errno
		       : 1;
}

bool bpf_fs_has(int fd)
{
	struct statfs system;

	return fstatfs(fd, &system) == 0 && system.f_type == BPF_FS_MAGIC;
}

int bpf_fs_each_mount(const char *below, bpf_fs_visitor visit, void *context)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	struct mntent entry;
	char text[4096];
	int result = 0;

	if (!mounts)
		return -errno;
	while (result == 0 && getmntent_r(mounts, &entry, text, sizeof(text)))
		if (strcmp(entry.mnt_type, "bpf") == 0 &&
		    (!below || names_below(below, entry.mnt_dir)))
			result = visit(context, entry.mnt_dir);
	endmntent(mounts);
	return result;
}

int bpf_fs_each_mount_below(int folder, bpf_fs_visitor visit, void *context)
{
	char path[PATH_MAX];
	int error = names_path_of(folder, path);

	return error < 0 ? error : bpf_fs_each_mount(path, visit, context);
}

/* --- Hiding -------------------------------------------------------------- */

/* Of a folder, as no other has it at the same time. */
struct identity {
	dev_t device;
	ino_t inode;
};

/* Set once, at the start; no folder has inode 0. */
static struct identity hidden;

static bool is_hidden(dev_t device, ino_t inode)
{
	return hidden.inode != 0 && device == hidden.device &&
	       inode == hidden.inode;
}

int bpf_fs_hide(int folder)
{
	struct stat status;

	if (fstat(folder, &status) < 0)
		return -errno;
	hidden = (struct identity){ status.st_dev, status.st_ino };
	return 0;
}

/* The folder of a file. -errno */
static int open_folder_of(int file)
{
	char path[PATH_MAX], *slash;
	int error = names_path_of(file, path);

	slash = error < 0 ? NULL : strrchr(path, '/');
	if (!slash)
		return -ENOENT;
	slash[slash == path] = '\0';
	return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/*
 * Whether an open folder on that file system, which is closed, is the hidden
 * one, or below it. The way up ends at the root of the file system, or where it
 * leaves that. What cannot be looked at counts as hidden.
 */
static bool hides_folder(int folder)
{
	struct stat status, below = { .st_dev = hidden.device };
	bool known;
	int above;

	for (; folder >= 0; folder = above, below = status) {
		known = fstat(folder, &status) == 0;
		above = known ? openat(folder, "..",
				       O_PATH | O_DIRECTORY | O_CLOEXEC)
			      : -1;
		close(folder);
		if (!known || above < 0)
			break;
		if (is_hidden(status.st_dev, status.st_ino) ||
		    status.st_dev != below.st_dev ||
		    (below.st_ino > 0 && status.st_ino == below.st_ino)) {
			close(above);
			return is_hidden(status.st_dev, status.st_ino);
		}
	}
	return true;
}

/*
 * A file's folder is found by its path, which another mount may hide: then what
 * is found there is on another file system.
 */
static bool hides_file(int file)
{
	int folder = open_folder_of(file);
	struct stat status;

	if (folder < 0)
		return true;
	if (fstat(folder, &status) < 0 || status.st_dev != hidden.device) {
		close(folder);
		return true;
	}
	return hides_folder(folder);
}

bool bpf_fs_hides(int fd)
{
	struct stat status;
	int folder;

	if (hidden.inode == 0)
		return false;
	if (fstat(fd, &status) < 0)
		return true;
	if (status.st_dev != hidden.device)
		return false;
	if (!S_ISDIR(status.st_mode))
		return hides_file(fd);
	folder = openat(fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return folder < 0 || hides_folder(folder);
}

/* --- Walking ------------------------------------------------------------- */

/*
 * A folder still to be read. fts(3) is no alternative: glibc's fts_open()
 * writes through NULL when memory runs out.
 */
struct folder {
	STAILQ_ENTRY(folder) entry;
	dev_t device;
	ino_t inode; /* only for those where the walk begins */
	char path[];
};

STAILQ_HEAD(folders, folder);

struct walk {
	struct folders folders;
	bpf_fs_visitor visit;
	void *context;
	bool once; /* visit a folder once, wherever it is mounted */
};

int bpf_fs_shortage(int error)
{
	return error == -ENOMEM || error == -EMFILE || error == -ENFILE ? error
									: 0;
}

static int add_folder(struct walk *walk, const char *path, dev_t device,
		      ino_t inode)
{
	size_t size = strlen(path) + 1;
	struct folder *folder = malloc(sizeof(*folder) + size);

	if (!folder)
		return -ENOMEM;
	folder->device = device;
	folder->inode = inode;
	memcpy(folder->path, path, size);
	STAILQ_INSERT_TAIL(&walk->folders, folder, entry);
	return 0;
}

/* /proc lists mounts that hide each other under the same path. */
static int begin_at(void *context, const char *path)
{
	struct walk *walk = context;
	const struct folder *other;
	struct statfs system;
	struct stat status;

	if (stat(path, &status) < 0 || statfs(path, &system) < 0)
		return bpf_fs_shortage(-errno);
	if (system.f_type != BPF_FS_MAGIC ||
	    is_hidden(status.st_dev, status.st_ino))
		return 0;
	STAILQ_FOREACH(other, &walk->folders, entry)
	{
		if (other->device == status.st_dev &&
		    other->inode == status.st_ino &&
		    (walk->once || strcmp(other->path, path) == 0))
			return 0;
	}
	return add_folder(walk, path, status.st_dev, status.st_ino);
}

static int visit_entry(struct walk *walk, const struct folder *folder,
		       const struct dirent *entry)
{
	char path[PATH_MAX];

	/* ., .. and the kernel's own files: no pin has a dot in its name */
	if (strchr(entry->d_name, '.') ||
	    snprintf(path, sizeof(path), "%s/%s", folder->path,
		     entry->d_name) >= PATH_MAX)
		return 0;
	if (entry->d_type == DT_DIR)
		return is_hidden(folder->device, entry->d_ino)
			       ? 0
			       : add_folder(walk, path, folder->device, 0);
	return entry->d_type == DT_REG ? walk->visit(walk->context, path) : 0;
}

static bool is_on(int fd, dev_t device)
{
	struct stat status;

	return fstat(fd, &status) == 0 && status.st_dev == device;
}

/* Mounts below the folder are walked on their own. */
static int visit_folder(struct walk *walk, const struct folder *folder)
{
	DIR *entries = opendir(folder->path);
	const struct dirent *entry;
	int result = 0;

	if (!entries)
		return bpf_fs_shortage(-errno);
	if (is_on(dirfd(entries), folder->device))
		while (result == 0 && (entry = readdir(entries)))
			result = visit_entry(walk, folder, entry);
	closedir(entries);
	return result;
}

/* Walks on if result is 0; frees the folders. What a visitor returned, or
 * -errno. */
static int finish(struct walk *walk, int result)
{
	struct folder *folder;

	while ((folder = STAILQ_FIRST(&walk->folders))) {
		STAILQ_REMOVE_HEAD(&walk->folders, entry);
		if (result == 0)
			result = visit_folder(walk, folder);
		free(folder);
	}
	return result;
}

int bpf_fs_walk(bpf_fs_visitor visit, void *context)
{
	struct walk walk = { .folders = STAILQ_HEAD_INITIALIZER(walk.folders),
			     .visit = visit,
			     .context = context };

	return finish(&walk, bpf_fs_each_mount(NULL, begin_at, &walk));
}

int bpf_fs_walk_once(int root, bpf_fs_visitor visit, void *context)
{
	struct walk walk = { .folders = STAILQ_HEAD_INITIALIZER(walk.folders),
			     .visit = visit,
			     .context = context,
			     .once = true };
	char link[32];
	int error;

	if (root < 0)
		return finish(&walk, bpf_fs_each_mount(NULL, begin_at, &walk));
	snprintf(link, sizeof(link), "/proc/self/fd/%d", root);
	error = begin_at(&walk, link);
	if (error == 0)
		error = bpf_fs_each_mount_below(root, begin_at, &walk);
	return finish(&walk, error);
}
