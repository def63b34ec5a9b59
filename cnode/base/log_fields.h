/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LOG_FIELDS_H
#define LOG_FIELDS_H

#include <stddef.h>
#include <stdint.h>

#define LOG_FIELDS_MAX 20

/* A member of a line's JSON object: text, or a number if text is NULL. */
struct log_field {
	const char *key;
	const char *text; /* borrowed */
	uint64_t number;
};

/* The fields of a line beside its message. Fields beyond the maximum are lost.
 */
struct log_fields {
	size_t count;
	size_t used; /* of texts */
	struct log_field list[LOG_FIELDS_MAX];
	char texts[128]; /* owned: those that log_fields_format() writes */
};

/*
 * Starts a list with an event, a reason and this thread's origin. event and
 * reason are stable names that programs may match; NULL: none.
 */
void log_fields_start(struct log_fields *fields, const char *event,
		      const char *reason);

/* The same without an origin. */
void log_fields_start_own(struct log_fields *fields, const char *event,
			  const char *reason);

void log_fields_text(struct log_fields *fields, const char *key,
		     const char *text); /* NULL adds nothing */
void log_fields_number(struct log_fields *fields, const char *key,
		       uint64_t number);
/* A short text, which fields keeps; dropped if it does not fit. */
void log_fields_format(struct log_fields *fields, const char *key,
		       const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The text of a field, or NULL. */
const char *log_fields_find(const struct log_fields *fields, const char *key);

/*
 * Sets on whose behalf this thread works: describe adds fields that name the
 * origin to each line that the thread logs. context is borrowed until the next
 * call. NULL: nobody's.
 */
typedef void (*log_fields_describer)(struct log_fields *fields,
				     const void *context);

void log_fields_set_origin(log_fields_describer describe, const void *context);

#endif
