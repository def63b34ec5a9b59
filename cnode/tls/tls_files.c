/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the files whole, so that nothing else here knows of files. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tls/tls_internal.h"

#define MAX_FILE (1 << 20) /* bytes */

const char *const tls_file_names[TLS_FILES] = {
	[TLS_CERT] = "cert.pem",
	[TLS_KEY] = "key.pem",
	[TLS_CA] = "ca.pem",
	[TLS_CRL] = "crl.pem",
};

static struct tls_stamp stamp_of(const struct stat *stat)
{
	return (struct tls_stamp){
		.device = stat->st_dev,
		.inode = stat->st_ino,
		.size = stat->st_size,
		.changed = stat->st_ctim,
	};
}

/* NULL, or what is wrong with it. */
static const char *judge(enum tls_file file, const struct stat *stat)
{
	if (!S_ISREG(stat->st_mode))
		return "it is no regular file";
	if (stat->st_size > MAX_FILE)
		return "it is larger than 1 MiB";
	if (file == TLS_KEY && stat->st_mode & (S_IROTH | S_IWOTH | S_IWGRP))
		return "others may read or change it; chmod 600 it, or 640 "
		       "with a group of those that need it";
	return NULL;
}

static bool read_bytes(int fd, char *bytes, size_t size)
{
	ssize_t n;

	while (size > 0) {
		n = read(fd, bytes, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		bytes += n;
		size -= (size_t)n;
	}
	return true;
}

static const char *read_open(struct tls_set *set, enum tls_file file, int fd)
{
	struct stat stat;
	const char *wrong;

	if (fstat(fd, &stat) < 0)
		return strerror(errno);
	wrong = judge(file, &stat);
	if (wrong)
		return wrong;
	set->stamps[file] = stamp_of(&stat);
	set->sizes[file] = (size_t)stat.st_size;
	set->bytes[file] = malloc(set->sizes[file] + 1);
	if (!set->bytes[file])
		return strerror(ENOMEM);
	return read_bytes(fd, set->bytes[file], set->sizes[file])
		       ? NULL
		       : "it changes while it is read";
}

static void path_of(char path[PATH_MAX], const char *folder, enum tls_file file)
{
	snprintf(path, PATH_MAX, "%s/%s", folder, tls_file_names[file]);
}

static bool read_file(struct tls_set *set, const char *folder,
		      enum tls_file file, char words[TLS_WORDS])
{
	char path[PATH_MAX];
	const char *wrong;
	struct stat link; /* one that leads nowhere is an error */
	int fd;

	path_of(path, folder, file);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 && errno == ENOENT && file == TLS_CRL &&
	    lstat(path, &link) < 0)
		return true;
	wrong = fd < 0 ? strerror(errno) : read_open(set, file, fd);
	if (fd >= 0)
		close(fd);
	if (wrong)
		snprintf(words, TLS_WORDS, "%.200s: %s", path, wrong);
	return !wrong;
}

bool tls_set_read(struct tls_set *set, const char *folder,
		  char words[TLS_WORDS])
{
	memset(set, 0, sizeof(*set));
	for (enum tls_file file = 0; file < TLS_FILES; file++)
		if (!read_file(set, folder, file, words))
			return false;
	return true;
}

void tls_set_free(struct tls_set *set)
{
	for (enum tls_file file = 0; file < TLS_FILES; file++) {
		if (set->bytes[file])
			explicit_bzero(set->bytes[file], set->sizes[file]);
		free(set->bytes[file]);
	}
	memset(set, 0, sizeof(*set));
}

void tls_stamp_all(const char *folder, struct tls_stamp stamps[TLS_FILES])
{
	char path[PATH_MAX];
	struct stat status;

	memset(stamps, 0, TLS_FILES * sizeof(*stamps));
	for (enum tls_file file = 0; file < TLS_FILES; file++) {
		path_of(path, folder, file);
		if (stat(path, &status) == 0)
			stamps[file] = stamp_of(&status);
	}
}
