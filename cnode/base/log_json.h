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
 * Writes an object as a line: valid JSON of at most size bytes, whatever stands
 * in the texts; their number, with the end of the line and no NUL behind it.
 * size is at least 256.
 */
size_t log_json_line(char *line, size_t size, const struct log_json *object);

#endif
