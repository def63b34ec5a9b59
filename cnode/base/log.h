/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LOG_H
#define LOG_H

#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/log_fields.h"

enum log_level {
	LOG_ERROR,
	LOG_WARNING,
	LOG_NOTICE,
	LOG_INFO,
	LOG_DEBUG,
};

/* To be called before the first thread is started. */
void log_set_level(enum log_level level);

/* From the command line; false: there is no such level. */
bool log_level_from_name(const char *name, enum log_level *level);

/* Whether lines of that level are logged; saves costly preparation. */
bool log_has_level(enum log_level level);

enum log_format {
	LOG_TEXT,
	LOG_JSON, /* one object per line */
};

/* As log_set_level() and log_level_from_name(). */
void log_set_format(enum log_format format);
bool log_format_from_name(const char *name, enum log_format *format);

/*
 * Writes one event as one line to standard error, from any thread. Preserves
 * errno. A line that cannot be written at once is dropped, and the next line
 * says how many were. If fields is NULL, the line gets this thread's origin:
 * log_fields_set_origin().
 */
void log_event(enum log_level level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void log_event_with(const struct log_fields *fields, enum log_level level,
		    const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void log_vevent(const struct log_fields *fields, enum log_level level,
		const char *format, va_list arguments)
	__attribute__((format(printf, 3, 0)));

/* A line, as the one who listens gets it: uncut, and with all bytes. */
struct log_entry {
	const char *level; /* its name */
	const struct log_fields *fields;
	const char *message;
};

/*
 * Calls tell for each line from now on, in the thread that logs it, which may
 * hold any lock: it may neither log nor wait. NULL: nobody listens, and once
 * this returns no call is under way.
 */
void log_set_listener(void (*tell)(const struct log_entry *entry,
				   void *context),
		      void *context);

/*
 * Limits the lines per second that peers can cause, and counts the lines left
 * out. Must have static storage.
 */
struct log_limit {
	const char *event; /* of all lines that it limits; NULL: none */
	const char *reason;
	pthread_mutex_t lock;
	int64_t second;
	unsigned lines;
	unsigned lost;
	enum log_level level;
	char last[160]; /* the beginning of the last line that was logged */
	struct log_limit *next; /* among all that ever left out a line */
	bool listed;
};

#define LOG_LIMIT_OF(its_event, its_reason)                                    \
	{                                                                      \
		.event = (its_event), .reason = (its_reason),                  \
		.lock = PTHREAD_MUTEX_INITIALIZER                              \
	}
#define LOG_LIMIT_INITIALIZER LOG_LIMIT_OF(NULL, NULL)

void log_limited(struct log_limit *limit, enum log_level level,
		 const char *format, ...) __attribute__((format(printf, 3, 4)));
/* fields must start with the limit's event and reason. */
void log_limited_with(struct log_limit *limit, const struct log_fields *fields,
		      enum log_level level, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
void log_vlimited(struct log_limit *limit, const struct log_fields *fields,
		  enum log_level level, const char *format, va_list arguments)
	__attribute__((format(printf, 4, 0)));

/*
 * Reports lines that were left out and not followed by another of their kind:
 * those at least a second old, or all of them now. Returns the ms after which
 * to call it again; -1: no need before the next line.
 */
int log_catch_up(bool now);

#define log_error(...) log_event(LOG_ERROR, __VA_ARGS__)
#define log_warning(...) log_event(LOG_WARNING, __VA_ARGS__)
#define log_notice(...) log_event(LOG_NOTICE, __VA_ARGS__)
#define log_info(...) log_event(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_event(LOG_DEBUG, __VA_ARGS__)

#endif
