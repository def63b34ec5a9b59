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

/* Sets what is logged from now on; before the first thread is started. */
void log_set_level(enum log_level level);

/* The names of the levels, for the command line. False for no such name. */
bool log_level_from_name(const char *name, enum log_level *level);

/* Whether lines of that level are logged: for what is dear to find out. */
bool log_has_level(enum log_level level);

enum log_format {
	LOG_TEXT,
	LOG_JSON, /* an object a line */
};

/* As the two of the level. */
void log_set_format(enum log_format format);
bool log_format_from_name(const char *name, enum log_format *format);

/*
 * One event, one line on standard error; from any thread. Keeps errno. A line
 * that cannot be written at once is lost, and counted in the next one. Of
 * fields that are NULL a line has those of whoever this thread is at work for.
 */
void log_event(enum log_level level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void log_event_with(const struct log_fields *fields, enum log_level level,
		    const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void log_vevent(const struct log_fields *fields, enum log_level level,
		const char *format, va_list arguments)
	__attribute__((format(printf, 3, 0)));

/*
 * For what a peer can cause: some lines a second, and the number of those that
 * were left out. Of static storage.
 */
struct log_limit {
	const char *event; /* of all that it limits; NULL: no word is given */
	const char *reason;
	pthread_mutex_t lock;
	int64_t second;
	unsigned lines;
	unsigned lost;
	enum log_level level;
	char last[160]; /* the beginning of the last line that was logged */
	struct log_limit *next; /* of those that have ever left out a line */
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
/* fields have its event and its reason, and more. */
void log_limited_with(struct log_limit *limit, const struct log_fields *fields,
		      enum log_level level, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
void log_vlimited(struct log_limit *limit, const struct log_fields *fields,
		  enum log_level level, const char *format, va_list arguments)
	__attribute__((format(printf, 4, 0)));

/*
 * Tells of lines that were left out where no next one of their kind has come,
 * to tell of them: a second later, or all of them now. How many ms until this
 * is to be called again; -1: not before another line.
 */
int log_catch_up(bool now);

#define log_error(...) log_event(LOG_ERROR, __VA_ARGS__)
#define log_warning(...) log_event(LOG_WARNING, __VA_ARGS__)
#define log_notice(...) log_event(LOG_NOTICE, __VA_ARGS__)
#define log_info(...) log_event(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_event(LOG_DEBUG, __VA_ARGS__)

#endif
