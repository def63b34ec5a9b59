/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log: a line an event on standard error, each written by one write(2),
 * so that lines of several threads do not mix:
 *
 *	2026-01-31T12:00:00.000Z notice ready ebpf@host port 4711
 *
 * What a peer sent may stand in a line: all but printable ASCII comes out as
 * '?', so that no peer can forge a line of its own, nor speak to a terminal.
 * Nobody waits for who reads the log: what does not go out at once is lost.
 */
#include "log.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"

#define LINE_SIZE 4096
#define LINES_A_SECOND 20 /* of one thing that peers cause */
#define CATCH_UP_MS 1000

static const char *const level_names[] = {
	[LOG_ERROR] = "error",   [LOG_WARNING] = "warning",
	[LOG_NOTICE] = "notice", [LOG_INFO] = "info",
	[LOG_DEBUG] = "debug",
};

static enum log_level max_level = LOG_NOTICE;

void log_set_level(enum log_level level)
{
	max_level = level;
}

bool log_level_from_name(const char *name, enum log_level *level)
{
	for (int i = LOG_ERROR; i <= LOG_DEBUG; i++) {
		if (strcmp(name, level_names[i]) == 0) {
			*level = (enum log_level)i;
			return true;
		}
	}
	return false;
}

static size_t format_head(char *line, size_t size, enum log_level level)
{
	struct timespec now;
	struct tm utc;
	int n;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	n = snprintf(line, size, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ %s ",
		     utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday,
		     utc.tm_hour, utc.tm_min, utc.tm_sec, now.tv_nsec / 1000000,
		     level_names[level]);
	return n > 0 ? (size_t)n : 0;
}

static void replace_unprintable(char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
}

static bool is_writable(void)
{
	struct pollfd out = { .fd = STDERR_FILENO, .events = POLLOUT };

	return poll(&out, 1, 0) > 0 && out.revents & POLLOUT;
}

/*
 * One at a time, with a note of those before it that were lost: a pipe that is
 * writable takes as much as a line may have. A disk that is full takes a part.
 */
static void write_line(const char *line, size_t size)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static unsigned lost;
	static bool torn; /* the last one has no end */
	char text[LINE_SIZE];
	ssize_t note, n = -1;

	pthread_mutex_lock(&lock);
	note = lost == 0 ? 0
			 : snprintf(text, sizeof(text),
				    "%s%u lines of the log are lost\n",
				    torn ? "\n" : "", lost);
	if (size > sizeof(text) - (size_t)note)
		size = sizeof(text) - (size_t)note;
	memcpy(text + note, line, size);
	size += (size_t)note;
	text[size - 1] = '\n';
	if (is_writable())
		n = write(STDERR_FILENO, text, size);
	if (n > 0)
		torn = text[n - 1] != '\n';
	lost = n == (ssize_t)size ? 0 : n >= note ? 1 : lost + 1;
	pthread_mutex_unlock(&lock);
}

void log_vevent(enum log_level level, const char *format, va_list arguments)
{
	char line[LINE_SIZE];
	int saved_errno = errno;
	size_t head, size;

	if (level > max_level)
		return;
	head = format_head(line, sizeof(line), level);
	errno = saved_errno; /* for a format with %m */
	/* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): it is not */
	if (vsnprintf(line + head, sizeof(line) - head - 1, format, arguments) <
	    0)
		line[head] = '\0';
	replace_unprintable(line + head);
	size = strlen(line);
	line[size] = '\n';
	write_line(line, size + 1);
	errno = saved_errno;
}

void log_event(enum log_level level, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	log_vevent(level, format, arguments);
	va_end(arguments);
}

static _Atomic(struct log_limit *) all_limits;

static void list(struct log_limit *limit)
{
	if (limit->listed)
		return;
	limit->listed = true;
	limit->next = atomic_load(&all_limits);
	while (!atomic_compare_exchange_weak(&all_limits, &limit->next, limit))
		;
}

/* How many lines of before are to be told of; -1: this one is not for now. */
static int take_turn(struct log_limit *limit, enum log_level level,
		     const char *format, va_list arguments)
{
	int64_t second = clock_ms() / 1000;
	int saved_errno = errno;
	int told = 0;
	va_list copy;

	pthread_mutex_lock(&limit->lock);
	if (second != limit->second) {
		limit->second = second;
		limit->lines = 0;
		told = (int)limit->lost;
		limit->lost = 0;
	}
	if (++limit->lines > LINES_A_SECOND) {
		limit->lost++;
		list(limit);
		told = -1;
	} else {
		limit->level = level;
		errno = saved_errno; /* for a format with %m */
		va_copy(copy, arguments);
		vsnprintf(limit->last, sizeof(limit->last), format, copy);
		va_end(copy);
	}
	pthread_mutex_unlock(&limit->lock);
	errno = saved_errno;
	return told;
}

void log_vlimited(struct log_limit *limit, enum log_level level,
		  const char *format, va_list arguments)
{
	int told = take_turn(limit, level, format, arguments);

	if (told < 0)
		return;
	if (told > 0)
		log_event(level, "%d more of the next line were not logged",
			  told);
	log_vevent(level, format, arguments);
}

/* Whether some are to be told of later. */
static bool catch_up(struct log_limit *limit, bool now)
{
	char last[sizeof(limit->last)];
	enum log_level level;
	unsigned lost;

	pthread_mutex_lock(&limit->lock);
	lost = limit->lost;
	now = now || clock_ms() / 1000 != limit->second;
	level = limit->level;
	memcpy(last, limit->last, sizeof(last));
	if (now)
		limit->lost = 0;
	pthread_mutex_unlock(&limit->lock);
	if (now && lost > 0)
		log_event(level, "%u more of this kind were not logged: %s",
			  lost, last);
	return !now && lost > 0;
}

int log_catch_up(bool now)
{
	struct log_limit *limit = atomic_load(&all_limits);
	int wait = -1;

	for (; limit; limit = limit->next)
		if (catch_up(limit, now))
			wait = CATCH_UP_MS;
	return wait;
}

void log_limited(struct log_limit *limit, enum log_level level,
		 const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	log_vlimited(limit, level, format, arguments);
	va_end(arguments);
}
