/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cookie, by the rules of OTP's auth.erl: a file that others than its
 * owner may touch is refused; one line of printable characters. A pipe will do
 * as well as a file, so that a parent can hand the cookie over as
 * /dev/stdin; no more than its first line is read from it.
 *
 * A credential of a service may belong to root, and to its user by an access
 * control list, which the mode shows as rights of a group. The folder of such
 * files is for that user alone, and the service manager sees to it.
 */
#include "cookie.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

#define COOKIE_NAME ".erlang.cookie"
#define MAX_SIZE 255 /* a cookie is an atom */
#define MADE_SIZE 20
#define LETTERS 26

static bool find_home_file(char path[PATH_MAX])
{
	const char *home = getenv("HOME");

	return home && *home &&
	       snprintf(path, PATH_MAX, "%s/" COOKIE_NAME, home) < PATH_MAX;
}

static bool find_config_file(char path[PATH_MAX])
{
	const char *config = getenv("XDG_CONFIG_HOME");
	const char *home = getenv("HOME");
	int n;

	if (config && *config)
		n = snprintf(path, PATH_MAX, "%s/erlang/" COOKIE_NAME, config);
	else if (home && *home)
		n = snprintf(path, PATH_MAX, "%s/.config/erlang/" COOKIE_NAME,
			     home);
	else
		return false;
	return n < PATH_MAX;
}

/* A random cookie of 20 capital letters, as erl makes them. */
static bool make_letters(char letters[MADE_SIZE + 1])
{
	const unsigned char fair = 256 / LETTERS * LETTERS;
	unsigned char octet;
	int n = 0;

	while (n < MADE_SIZE) {
		if (getrandom(&octet, 1, 0) != 1)
			return false;
		if (octet < fair)
			letters[n++] = (char)('A' + octet % LETTERS);
	}
	letters[n] = '\0';
	return true;
}

static int write_new(const char *path, const char *letters)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = write(fd, letters, MADE_SIZE);
	if (close(fd) == 0 && n == MADE_SIZE)
		return 0;
	n = n < 0 ? -errno : -ENOSPC;
	unlink(path);
	return (int)n;
}

static bool make(const char *path)
{
	char letters[MADE_SIZE + 1];
	int error = make_letters(letters) ? write_new(path, letters) : -EIO;

	if (error < 0 && error != -EEXIST) {
		log_error("cookie file %s: there is none, and none could be "
			  "made: %s",
			  path, strerror(-error));
		return false;
	}
	if (error == 0)
		log_notice("made a random cookie in %s", path);
	return true;
}

/* The first line, without its end; size - 1 octets of it at most. */
static ssize_t read_line(int fd, char *line, size_t size)
{
	size_t length = 0;
	ssize_t n;

	while (length < size - 1) {
		n = read(fd, line + length, 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0 || line[length] == '\n')
			break;
		length++;
	}
	while (length > 0 &&
	       (line[length - 1] == '\r' || line[length - 1] == ' '))
		length--;
	line[length] = '\0';
	return (ssize_t)length;
}

/* Whether path is in the folder that the service manager made for us. */
static bool is_credential(const char *path)
{
	const char *folder = getenv("CREDENTIALS_DIRECTORY");
	size_t size = folder ? strlen(folder) : 0;

	return size > 0 && strncmp(path, folder, size) == 0 &&
	       path[size] == '/' && path[size + 1] &&
	       !strchr(path + size + 1, '/');
}

static const char *check_file(const char *path, int fd)
{
	mode_t others = is_credential(path) ? 037 : 077;
	struct stat status;

	if (fstat(fd, &status) < 0)
		return strerror(errno);
	if (!S_ISREG(status.st_mode) && !S_ISFIFO(status.st_mode))
		return "it is no regular file";
	if (status.st_mode & others)
		return "others than its owner may read or write it; "
		       "chmod 400 mends that";
	return NULL;
}

static const char *check_cookie(const char *cookie, ssize_t length)
{
	if (length < 0)
		return strerror((int)-length);
	if (length == 0)
		return "it is empty";
	if (length > MAX_SIZE)
		return "it is longer than 255 characters";
	for (ssize_t i = 0; i < length; i++)
		if (cookie[i] < ' ' || cookie[i] > '~')
			return "it has other than printable ASCII characters";
	return NULL;
}

static bool read_open_file(const char *path, int fd,
			   char cookie[EI_MAX_COOKIE_SIZE + 1])
{
	const char *wrong = check_file(path, fd);

	if (!wrong)
		wrong = check_cookie(
			cookie, read_line(fd, cookie, EI_MAX_COOKIE_SIZE + 1));
	if (wrong)
		log_error("cookie file %s: %s", path, wrong);
	return !wrong;
}

bool cookie_read(const char *file, char cookie[EI_MAX_COOKIE_SIZE + 1])
{
	char home_file[PATH_MAX] = "", config_file[PATH_MAX];
	const char *path = file;
	bool good;
	int fd;

	if (!path && !find_home_file(home_file)) {
		log_error("cookie file: HOME is not set; set it, or use "
			  "--cookie-file");
		return false;
	}
	if (!path)
		path = home_file;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0 && errno == ENOENT && !file && find_config_file(config_file))
		fd = open(path = config_file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0 && errno == ENOENT) {
		path = file ? file : home_file;
		if (!make(path))
			return false;
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	}
	if (fd < 0) {
		log_error("cookie file %s: %s", path, strerror(errno));
		return false;
	}
	good = read_open_file(path, fd, cookie);
	close(fd);
	return good;
}
