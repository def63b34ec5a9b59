/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LOG_FIELDS_H
#define LOG_FIELDS_H

#include <stddef.h>
#include <stdint.h>

#define LOG_FIELDS_MAX 20

/* A member of a line's JSON object: a text, or where that is NULL a number. */
struct log_field {
	const char *key;
	const char *text; /* borrowed */
	uint64_t number;
};

/* What a line tells beside its words. Past the most, fields are left out. */
struct log_fields {
	size_t count;
	size_t used; /* of room */
	struct log_field list[LOG_FIELDS_MAX];
	char room[128]; /* for texts that stand nowhere else */
};

/*
 * Begins with what happened, why, and on whose behalf this thread is at work.
 * event and reason are words that stay as they are; NULL: none.
 */
void log_fields_start(struct log_fields *fields, const char *event,
		      const char *reason);

/* The same, of nobody. */
void log_fields_start_own(struct log_fields *fields, const char *event,
			  const char *reason);

void log_fields_text(struct log_fields *fields, const char *key,
		     const char *text); /* NULL adds nothing */
void log_fields_number(struct log_fields *fields, const char *key,
		       uint64_t number);
/* A short text, which is kept here. */
void log_fields_format(struct log_fields *fields, const char *key,
		       const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The text of a field; NULL: there is none. */
const char *log_fields_find(const struct log_fields *fields, const char *key);

/*
 * On whose behalf this thread is at work from now on: describe adds fields that
 * say so to each line that it logs. context is borrowed until the next call of
 * this. NULL: on nobody's.
 */
typedef void (*log_fields_describer)(struct log_fields *fields,
				     const void *context);

void log_fields_set_origin(log_fields_describer describe, const void *context);

#endif
