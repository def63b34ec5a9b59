/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LOG_JSON_H
#define LOG_JSON_H

#include <stddef.h>

#include "base/log_fields.h"

struct log_json {
	const char *time;
	const char *level;
	const struct log_fields *fields;
	const char *message;
};

/*
 * Writes an object as one line of valid JSON, whatever the texts contain, of at
 * most size bytes; size must be at least 256. Returns the bytes written, with
 * the newline and without a NUL.
 */
size_t log_json_line(char *line, size_t size, const struct log_json *object);

#endif
