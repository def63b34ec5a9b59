/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log: a line an event on standard error, each written by one write(2),
 * so that lines of several threads do not mix:
 *
 *	2026-01-31T12:00:00.000Z notice ready ebpf@host port 4711
 *
 * What a peer sent may stand in a line: control characters come out as '?', so
 * that no peer can forge a line of its own.
 */
#include "log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_SIZE 1024

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

static void replace_control_characters(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
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
	replace_control_characters(line + head);
	size = strlen(line);
	line[size] = '\n';
	if (write(STDERR_FILENO, line, size + 1) < 0) {
		/* there is no other place to say it */
	}
	errno = saved_errno;
}

void log_event(enum log_level level, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	log_vevent(level, format, arguments);
	va_end(arguments);
}
