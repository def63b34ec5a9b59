/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cookie, by the rules of OTP's auth.erl: one line of printable characters,
 * spaces included, in a file that only its owner may access. A pipe will do as
 * well, so that a parent can pass the cookie as /dev/stdin; only its first line
 * is read.
 *
 * A service's credential may belong to root and be readable by the service's
 * user through an access control list, which shows in the mode as rights of the
 * group. The service manager keeps the directory of credentials private.
 */
#include "dist/cookie.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/patience.h"

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
	unsigned char byte;
	int n = 0;

	while (n < MADE_SIZE) {
		if (getrandom(&byte, 1, 0) != 1)
			return false;
		if (byte < fair)
			letters[n++] = (char)('A' + byte % LETTERS);
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
		log_error("cookie file %s: it does not exist, and cannot be "
			  "created: %s",
			  path, strerror(-error));
		return false;
	}
	if (error == 0)
		log_notice("made a random cookie in %s", path);
	return true;
}

/* --- Reading ------------------------------------------------------------ */

struct line {
	char *text; /* of EI_MAX_COOKIE_SIZE + 1 */
	size_t size;
	bool over;         /* a character that is not printable has come */
	bool at_end;       /* the end of the line has come */
	const char *wrong; /* NULL: nothing so far */
};

/*
 * As check_cookie() and check_cookie1() in auth.erl: spaces before the end of
 * the line are part of the cookie; after it only spaces and empty lines may
 * follow.
 */
static void take(struct line *line, char c)
{
	if (!line->over && c >= ' ' && c <= '~') {
		if (line->size == MAX_SIZE)
			line->wrong = "it is longer than 255 characters";
		else
			line->text[line->size++] = c;
		return;
	}
	line->over = true;
	line->at_end |= c == '\n';
	if (c != '\n' && c != '\r' && c != ' ')
		line->wrong = line->at_end ? "it has more than one line"
					   : "it has a character that is not "
					     "printable ASCII";
}

/* Waits for a pipe's writer. */
static ssize_t read_some(int fd, char *bytes, size_t size)
{
	ssize_t n;

	do {
		patience_readable(fd, -1,
				  "the cookie to be written to "
				  "--cookie-file");
		n = read(fd, bytes, size);
	} while (n < 0 && (errno == EINTR || errno == EAGAIN));
	return n;
}

/* From a pipe, byte by byte: data after the line is not ours to read. */
static const char *read_line(int fd, struct line *line, bool is_pipe)
{
	char bytes[512];
	ssize_t n = 1;

	while (!line->wrong && n > 0 && !(is_pipe && line->at_end)) {
		n = read_some(fd, bytes, is_pipe ? 1 : sizeof(bytes));
		for (ssize_t i = 0; !line->wrong && i < n; i++)
			take(line, bytes[i]);
	}
	if (n < 0)
		return strerror(errno);
	if (!line->wrong && line->size == 0)
		line->wrong = "it is empty";
	line->text[line->size] = '\0';
	return line->wrong;
}

/* Whether path is in the directory of credentials of the service manager. */
static bool is_credential(const char *path)
{
	const char *folder = getenv("CREDENTIALS_DIRECTORY");
	size_t size = folder ? strlen(folder) : 0;

	return size > 0 && strncmp(path, folder, size) == 0 &&
	       path[size] == '/' && path[size + 1] &&
	       !strchr(path + size + 1, '/');
}

static const char *check_file(const char *path, int fd, bool *is_pipe)
{
	mode_t others = is_credential(path) ? 037 : 077;
	struct stat status;

	if (fstat(fd, &status) < 0)
		return strerror(errno);
	*is_pipe = S_ISFIFO(status.st_mode);
	if (!S_ISREG(status.st_mode) && !*is_pipe)
		return "it is not a regular file";
	if (status.st_mode & others)
		return "users other than its owner may read or write it; run "
		       "chmod 400";
	return NULL;
}

static bool read_open_file(const char *path, int fd, struct line *line)
{
	bool is_pipe = false;
	const char *wrong = check_file(path, fd, &is_pipe);

	if (!wrong)
		wrong = read_line(fd, line, is_pipe);
	if (wrong)
		log_error("cookie file %s: %s", path, wrong);
	return !wrong;
}

/* --- Finding ------------------------------------------------------------ */

/* O_NONBLOCK: open(2) must not wait for a pipe's writer. */
static int open_file(const char *path)
{
	return open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
}

static int complain(const char *path)
{
	log_error("cookie file %s: %s", path, strerror(errno));
	return -1;
}

/* Does not create it, since the name may be mistyped. */
static int open_named(const char *path)
{
	int fd = open_file(path);

	if (fd < 0 && errno == ENOENT)
		log_error("cookie file %s: %s; create it, or leave out "
			  "--cookie-file to use erl's",
			  path, strerror(errno));
	else if (fd < 0)
		complain(path);
	return fd;
}

/* Writes its name to path. */
static int open_own(char path[PATH_MAX])
{
	int fd;

	if (!find_home_file(path)) {
		log_error("cookie file: HOME is not set; set it, or use "
			  "--cookie-file");
		return -1;
	}
	fd = open_file(path);
	if (fd < 0 && errno == ENOENT && find_config_file(path))
		fd = open_file(path);
	if (fd < 0 && errno == ENOENT && find_home_file(path)) {
		if (!make(path))
			return -1;
		fd = open_file(path);
	}
	return fd < 0 ? complain(path) : fd;
}

bool cookie_read(const char *file, char cookie[EI_MAX_COOKIE_SIZE + 1])
{
	struct line line = { 0 };
	char own[PATH_MAX] = "";
	int fd = file ? open_named(file) : open_own(own);
	bool good;

	if (fd < 0)
		return false;
	line.text = cookie;
	good = read_open_file(file ? file : own, fd, &line);
	close(fd);
	return good;
}
