/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The audit trail: one log event per change of rights, or of anything that
 * other nodes see. It knows nothing of requests: those are in the origin of
 * each thread's lines. It logs only the slot of a handle, since anybody with
 * the full reference can use the handle.
 */
#include "handles/audit.h"

#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

#define PATH_END 512 /* bytes kept of either end of a long path */

bool audit_is_on(void)
{
	return log_has_level(LOG_INFO);
}

static void add_fields(struct log_fields *fields, const struct audit *audit)
{
	log_fields_text(fields, "object", audit->kind);
	log_fields_number(fields, "id", audit->id);
	log_fields_text(fields, "type", audit->type);
	log_fields_text(fields, "name", audit->name);
	log_fields_text(fields, "access", audit->access);
	if (audit->program > 0)
		log_fields_number(fields, "program", audit->program);
	log_fields_text(fields, "target", audit->target);
	if (audit->handle != AUDIT_NO_HANDLE)
		log_fields_number(fields, "handle", audit->handle);
	log_fields_text(fields, "lifetime", audit->lifetime);
	log_fields_text(fields, "owner", audit->owner);
	if (audit->holders > 0)
		log_fields_number(fields, "holders", audit->holders);
	log_fields_text(fields, "path", audit->path);
}

/* --- Text --------------------------------------------------------------- */

/* Cut off when full; names alone cannot fill it. */
struct words {
	char text[2 * PATH_MAX];
	size_t size;
};

__attribute__((format(printf, 2, 3))) static void add(struct words *words,
						      const char *format, ...)
{
	size_t left = sizeof(words->text) - words->size;
	va_list arguments;
	int n;

	va_start(arguments, format);
	n = vsnprintf(words->text + words->size, left, format, arguments);
	va_end(arguments);
	if (n > 0)
		words->size += (size_t)n < left ? (size_t)n : left - 1;
}

/* event node pid function: */
static void add_origin(struct words *words, const struct log_fields *fields)
{
	static const char *const keys[] = { "node", "pid", "function" };
	const char *text;

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		text = log_fields_find(fields, keys[i]);
		if (text)
			add(words, " %s", text);
	}
	add(words, ":");
}

/* map 17 hash "name" */
static void add_object(struct words *words, const struct audit *audit)
{
	add(words, " %s %u", audit->kind, audit->id);
	if (audit->type)
		add(words, " %s", audit->type);
	if (audit->name)
		add(words, " \"%s\"", audit->name);
}

/* Shortens a long path in the middle: its end tells most. */
static void add_path(struct words *words, const char *path)
{
	size_t size = strlen(path);

	if (size <= 2 * (size_t)PATH_END)
		add(words, ", path %s", path);
	else
		add(words, ", path %.*s...%s", PATH_END, path,
		    path + size - PATH_END);
}

/* , key text: in the documented order */
static void add_rest(struct words *words, const struct audit *audit)
{
	if (audit->access)
		add(words, ", access %s", audit->access);
	if (audit->program > 0)
		add(words, ", program %u", audit->program);
	if (audit->target)
		add(words, ", target %s", audit->target);
	if (audit->handle != AUDIT_NO_HANDLE)
		add(words, ", handle %u", audit->handle);
	if (audit->lifetime)
		add(words, ", lifetime %s", audit->lifetime);
	if (audit->owner)
		add(words, ", owner %s", audit->owner);
	if (audit->holders > 0)
		add(words, ", holders %u", audit->holders);
	if (audit->reason)
		add(words, ", reason %s", audit->reason);
	if (audit->path)
		add_path(words, audit->path);
}

void audit_log(const struct audit *audit)
{
	struct words words = { .size = 0 };
	struct log_fields fields;

	if (!audit_is_on())
		return;
	log_fields_start(&fields, audit->event, audit->reason);
	add_fields(&fields, audit);
	add(&words, "%s", audit->event);
	add_origin(&words, &fields);
	add_object(&words, audit);
	add_rest(&words, audit);
	log_event_with(&fields, LOG_INFO, "%s", words.text);
}

void audit_resource(struct audit audit, const struct resource *resource)
{
	struct resource_text text = { .access = NULL };

	if (!audit_is_on())
		return;
	resource->kind->describe(resource, &text);
	audit.kind = resource->kind->name;
	audit.id = resource->id;
	audit.type = text.type;
	audit.name = text.name[0] ? text.name : NULL;
	audit.access = text.access;
	audit_log(&audit);
}
