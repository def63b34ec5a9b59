/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fields of a log line, and on whose behalf a thread works. The latter is
 * set once per thread, so that a refusal deep below is logged with its caller
 * without having to know it.
 */
#include "base/log_fields.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local struct {
	log_fields_describer describe;
	const void *context;
} origin;

static void add(struct log_fields *fields, struct log_field field)
{
	if (fields->count < LOG_FIELDS_MAX)
		fields->list[fields->count++] = field;
}

void log_fields_text(struct log_fields *fields, const char *key,
		     const char *text)
{
	if (text)
		add(fields, (struct log_field){ .key = key, .text = text });
}

void log_fields_number(struct log_fields *fields, const char *key,
		       uint64_t number)
{
	add(fields, (struct log_field){ .key = key, .number = number });
}

void log_fields_format(struct log_fields *fields, const char *key,
		       const char *format, ...)
{
	size_t left = sizeof(fields->texts) - fields->used;
	char *text = fields->texts + fields->used;
	va_list arguments;
	int n;

	va_start(arguments, format);
	n = vsnprintf(text, left, format, arguments);
	va_end(arguments);
	if (n < 0 || (size_t)n >= left)
		return;
	fields->used += (size_t)n + 1;
	log_fields_text(fields, key, text);
}

const char *log_fields_find(const struct log_fields *fields, const char *key)
{
	for (size_t i = 0; i < fields->count; i++)
		if (strcmp(fields->list[i].key, key) == 0)
			return fields->list[i].text;
	return NULL;
}

void log_fields_start_own(struct log_fields *fields, const char *event,
			  const char *reason)
{
	fields->count = fields->used = 0;
	log_fields_text(fields, "event", event);
	log_fields_text(fields, "reason", reason);
}

void log_fields_start(struct log_fields *fields, const char *event,
		      const char *reason)
{
	log_fields_start_own(fields, event, reason);
	if (origin.describe)
		origin.describe(fields, origin.context);
}

void log_fields_set_origin(log_fields_describer describe, const void *context)
{
	origin.describe = describe;
	origin.context = context;
}
