/* SPDX-License-Identifier: Apache-2.0 */
/* Refuses a request for lack of permission, and logs it. */
#include "call/refusal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

/* The object of a refused request: in words, and as fields that borrow name. */
struct object {
	struct log_fields fields;
	char words[PATH_MAX + 32];
	char name[PATH_MAX];
};

static void add_map(struct object *object, uint32_t id)
{
	log_fields_text(&object->fields, "object", "map");
	log_fields_number(&object->fields, "id", id);
}

/* A locator as "Tag Id", "Tag Path" or "Tag Name"; no words for others. */
static void describe_locator(struct term t, struct object *object)
{
	static const char *const tags[] = { "id", "pinned", "name" };
	static const char *const keys[] = { "id", "path", "name" };
	struct term parts[2];
	bool number;
	uint32_t id;
	size_t i = 0;

	if (!term_tuple_of(t, parts, 2))
		return;
	while (i < 3 && !term_is_atom(parts[0], tags[i]))
		i++;
	number = term_read_uint32(parts[1], &id);
	if (number)
		snprintf(object->name, sizeof(object->name), "%u", id);
	if (i == 3 || (!number && !term_read_text(parts[1], object->name,
						  sizeof(object->name))))
		return;
	snprintf(object->words, sizeof(object->words), ": %s %s", tags[i],
		 object->name);
	if (i > 0)
		log_fields_text(&object->fields, keys[i], object->name);
	else if (number)
		add_map(object, id);
}

static void describe_handle(const struct call *call, struct term t,
			    struct object *object)
{
	struct map *map = NULL;
	erlang_ref ref;

	if (call_read_handle_ref(t, &ref))
		map = call_get_map(call, &ref);
	if (map) {
		snprintf(object->words, sizeof(object->words), ": map %u",
			 map->resource.id);
		add_map(object, map->resource.id);
	}
	map_unref(map);
}

static void add_path(struct object *object, const char *path)
{
	size_t size = strlen(object->words);

	snprintf(object->words + size, sizeof(object->words) - size, ": %s",
		 path);
	log_fields_text(&object->fields, "path", path);
}

/*
 * The last map among the arguments; one before it is a value. Keys and other
 * values are never logged: a reader of logs may not be allowed to see them.
 */
static void describe(const struct call *call, struct object *object)
{
	for (uint32_t i = call->arity; i > 0 && !object->words[0]; i--) {
		describe_handle(call, call->args[i - 1], object);
		describe_locator(call->args[i - 1], object);
	}
	if ((strcmp(call->function, "pin") == 0 ||
	     strcmp(call->function, "unpin") == 0) &&
	    term_read_text(call->args[0], object->name, sizeof(object->name)))
		add_path(object, object->name);
}

bool refusal_raise(struct call *call, enum refusal refusal, const char *path)
{
#define REFUSED(reason) LOG_LIMIT_OF("refused", reason)

	static struct {
		const char *why;
		struct log_limit limit;
	} refusals[] = {
		[REFUSAL_MAY_ONLY_READ] = { "it may only read (--allow, "
					    "--read-only)",
					    REFUSED("may_only_read") },
		[REFUSAL_NOT_ITS_OWN] = { "it may only read, and the handle is "
					  "not its own",
					  REFUSED("not_its_own") },
		[REFUSAL_OUTSIDE_PIN_ROOT] = { "not to be reached below "
					       "--pin-root",
					       REFUSED("outside_pin_root") },
		[REFUSAL_OUTSIDE_FILE_ROOT] = { "not to be reached below "
						"--file-root",
						REFUSED("outside_file_root") },
		[REFUSAL_NO_CGROUP] = { "not in the cgroup file system",
					REFUSED("no_cgroup") },
	};
	struct log_limit *limit = &refusals[refusal].limit;
	erlang_pid pid = { .num = 0 };
	struct object object;

	object.words[0] = '\0';
	log_fields_start(&object.fields, limit->event, limit->reason);
	if (path)
		add_path(&object, path);
	else
		describe(call, &object);
	term_read_pid(call->caller, &pid);
	log_limited_with(limit, &object.fields, LOG_WARNING,
			 "refused %s/%u to %s <%u.%u>: %s%s", call->function,
			 call->arity, call->context->peer, pid.num, pid.serial,
			 refusals[refusal].why, object.words);
	return raise_errno(call, -EACCES);
}
