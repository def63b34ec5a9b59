/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log: one line per event on standard error, each written by one write(2),
 * so that the lines of threads do not mix:
 *
 *	2026-01-31T12:00:00.000Z notice ready ebpf@host port 4711
 *
 * A line may contain text from a peer. Anything but printable ASCII becomes
 * '?', so that a peer can neither forge a line nor send escapes to a terminal.
 * In JSON format, log_json.c escapes it.
 *
 * No thread waits for a slow reader of the log: a line that cannot be written
 * at once is dropped and counted.
 */
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log_json.h"

#define LINE_SIZE 4096    /* PIPE_BUF, so that a write to a pipe is atomic */
#define NOTE_SIZE 256     /* about lost lines, in the same write */
#define TIME_SIZE 80      /* for any year that struct tm can hold */
#define LINES_A_SECOND 20 /* per log_limit */
#define CATCH_UP_MS 1000

static const char *const level_names[] = {
	[LOG_ERROR] = "error",   [LOG_WARNING] = "warning",
	[LOG_NOTICE] = "notice", [LOG_INFO] = "info",
	[LOG_DEBUG] = "debug",
};

static const char *const format_names[] = {
	[LOG_TEXT] = "text",
	[LOG_JSON] = "json",
};

static enum log_level max_level = LOG_NOTICE;
static enum log_format log_format = LOG_TEXT;

void log_set_level(enum log_level level)
{
	max_level = level;
}

bool log_has_level(enum log_level level)
{
	return level <= max_level;
}

void log_set_format(enum log_format format)
{
	log_format = format;
}

bool log_format_from_name(const char *name, enum log_format *format)
{
	for (int i = LOG_TEXT; i <= LOG_JSON; i++) {
		if (strcmp(name, format_names[i]) == 0) {
			*format = (enum log_format)i;
			return true;
		}
	}
	return false;
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

static void format_time(char text[TIME_SIZE])
{
	struct timespec now;
	struct tm utc;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	snprintf(text, TIME_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ",
		 utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour,
		 utc.tm_min, utc.tm_sec, now.tv_nsec / 1000000);
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

static size_t format_note(char text[NOTE_SIZE], unsigned lost, bool torn)
{
	char time[TIME_SIZE], message[64];
	struct log_fields fields;
	const struct log_json object = { .time = time,
					 .level = level_names[LOG_WARNING],
					 .fields = &fields,
					 .message = message };
	size_t size = torn;

	text[0] = '\n';
	snprintf(message, sizeof(message), "%u log lines were lost", lost);
	if (log_format == LOG_TEXT)
		return size + (size_t)snprintf(text + size, NOTE_SIZE - size,
					       "%s\n", message);
	format_time(time);
	log_fields_start_own(&fields, "lines_lost", NULL);
	log_fields_number(&fields, "count", lost);
	return size + log_json_line(text + size, NOTE_SIZE - size, &object);
}

/*
 * One thread at a time. A note about lost lines comes first, in the same write.
 * A writable pipe takes a whole line; a disk that fills up takes part of one.
 */
static void write_line(const char *line, size_t size)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static unsigned lost;
	static bool torn; /* the last line was cut off */
	char text[LINE_SIZE];
	ssize_t note, n = -1;

	pthread_mutex_lock(&lock);
	note = lost == 0 ? 0 : (ssize_t)format_note(text, lost, torn);
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

__attribute__((format(printf, 3, 0))) static size_t
format_text(char line[LINE_SIZE], enum log_level level, const char *format,
	    va_list arguments)
{
	int saved_errno = errno;
	char time[TIME_SIZE];
	size_t head, size;

	format_time(time);
	head = (size_t)snprintf(line, LINE_SIZE, "%s %s ", time,
				level_names[level]);
	errno = saved_errno; /* for a format with %m */
	/* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): it is not */
	if (vsnprintf(line + head, LINE_SIZE - head - 1, format, arguments) < 0)
		line[head] = '\0';
	replace_unprintable(line + head);
	size = strlen(line);
	line[size] = '\n';
	return size + 1;
}

/* Not inlined: a thread that logs text does not need this buffer's stack. */
__attribute__((noinline, format(printf, 4, 0))) static size_t
format_json(char line[LINE_SIZE], const struct log_fields *fields,
	    enum log_level level, const char *format, va_list arguments)
{
	char message[LINE_SIZE], time[TIME_SIZE];
	struct log_fields own;
	const struct log_json object = { .time = time,
					 .level = level_names[level],
					 .fields = fields ? fields : &own,
					 .message = message };

	/* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): it is not */
	if (vsnprintf(message, sizeof(message), format, arguments) < 0)
		message[0] = '\0';
	format_time(time);
	if (!fields)
		log_fields_start(&own, NULL, NULL);
	return log_json_line(line, LINE_SIZE - NOTE_SIZE, &object);
}

/* --- Who listens ---------------------------------------------------------- */

static struct {
	pthread_mutex_t lock;
	atomic_bool is_there; /* looked at without the lock */
	void (*tell)(const struct log_entry *entry, void *context);
	void *context;
} listener = { .lock = PTHREAD_MUTEX_INITIALIZER };

void log_set_listener(void (*tell)(const struct log_entry *entry,
				   void *context),
		      void *context)
{
	pthread_mutex_lock(&listener.lock);
	listener.tell = tell;
	listener.context = context;
	atomic_store(&listener.is_there, tell != NULL);
	pthread_mutex_unlock(&listener.lock);
}

/* Not inlined: as format_json(). */
__attribute__((noinline, format(printf, 3, 0))) static void
tell_listener(const struct log_fields *fields, enum log_level level,
	      const char *format, va_list arguments)
{
	char message[LINE_SIZE];
	struct log_fields own;
	const struct log_entry entry = { .level = level_names[level],
					 .fields = fields ? fields : &own,
					 .message = message };

	if (vsnprintf(message, sizeof(message), format, arguments) < 0)
		message[0] = '\0';
	if (!fields)
		log_fields_start(&own, NULL, NULL);
	pthread_mutex_lock(&listener.lock);
	if (listener.tell)
		listener.tell(&entry, listener.context);
	pthread_mutex_unlock(&listener.lock);
}

/* --- Lines ---------------------------------------------------------------- */

void log_vevent(const struct log_fields *fields, enum log_level level,
		const char *format, va_list arguments)
{
	char line[LINE_SIZE];
	int saved_errno = errno;
	va_list copy;
	size_t size;

	if (!log_has_level(level))
		return;
	if (atomic_load(&listener.is_there)) {
		va_copy(copy, arguments);
		tell_listener(fields, level, format, copy);
		va_end(copy);
		errno = saved_errno; /* for a format with %m */
	}
	size = log_format == LOG_JSON
		       ? format_json(line, fields, level, format, arguments)
		       : format_text(line, level, format, arguments);
	write_line(line, size);
	errno = saved_errno;
}

void log_event_with(const struct log_fields *fields, enum log_level level,
		    const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	log_vevent(fields, level, format, arguments);
	va_end(arguments);
}

void log_event(enum log_level level, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	log_vevent(NULL, level, format, arguments);
	va_end(arguments);
}

static _Atomic(struct log_limit *) all_limits;

static void register_limit(struct log_limit *limit)
{
	if (limit->listed)
		return;
	limit->listed = true;
	limit->next = atomic_load(&all_limits);
	while (!atomic_compare_exchange_weak(&all_limits, &limit->next, limit))
		;
}

/* How many earlier lines to report first; -1: this line is left out. */
__attribute__((format(printf, 3, 0))) static int
take_turn(struct log_limit *limit, enum log_level level, const char *format,
	  va_list arguments)
{
	int64_t second = clock_ms() / 1000;
	int saved_errno = errno;
	int left_out = 0;
	va_list copy;

	pthread_mutex_lock(&limit->lock);
	if (second != limit->second) {
		limit->second = second;
		limit->lines = 0;
		left_out = (int)limit->lost;
		limit->lost = 0;
	}
	if (++limit->lines > LINES_A_SECOND) {
		limit->lost++;
		register_limit(limit);
		left_out = -1;
	} else {
		limit->level = level;
		errno = saved_errno; /* for a format with %m */
		va_copy(copy, arguments);
		vsnprintf(limit->last, sizeof(limit->last), format, copy);
		va_end(copy);
	}
	pthread_mutex_unlock(&limit->lock);
	errno = saved_errno;
	return left_out;
}

/* Without this thread's origin: most of them had another. */
static void start_left_out(struct log_fields *fields,
			   const struct log_limit *limit, unsigned count)
{
	log_fields_start_own(fields, "left_out", limit->reason);
	log_fields_text(fields, "of", limit->event);
	log_fields_number(fields, "count", count);
}

void log_vlimited(struct log_limit *limit, const struct log_fields *fields,
		  enum log_level level, const char *format, va_list arguments)
{
	int left_out = take_turn(limit, level, format, arguments);
	struct log_fields own;

	if (left_out < 0)
		return;
	if (left_out > 0) {
		start_left_out(&own, limit, (unsigned)left_out);
		log_event_with(&own, level,
			       "%d more like the next line were not logged",
			       left_out);
	}
	if (!fields) {
		log_fields_start(&own, limit->event, limit->reason);
		fields = &own;
	}
	log_vevent(fields, level, format, arguments);
}

/* Whether there are lines to report later. */
static bool catch_up(struct log_limit *limit, bool now)
{
	char last[sizeof(limit->last)];
	struct log_fields fields;
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
	if (now && lost > 0) {
		start_left_out(&fields, limit, lost);
		log_event_with(&fields, level,
			       "%u more of this kind were not logged: %s", lost,
			       last);
	}
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
	log_vlimited(limit, NULL, level, format, arguments);
	va_end(arguments);
}

void log_limited_with(struct log_limit *limit, const struct log_fields *fields,
		      enum log_level level, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	log_vlimited(limit, fields, level, format, arguments);
	va_end(arguments);
}
