/* SPDX-License-Identifier: Apache-2.0 */
/* Refuses a request for lack of permission, and logs it. */
#include "call/refusal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "call/objects.h"

/* The object of a refused request: in words, and as fields that borrow name. */
struct object {
	struct log_fields fields;
	char words[PATH_MAX + 32];
	char name[PATH_MAX];
};

static void add_object(struct object *object, const char *kind, uint32_t id)
{
	log_fields_text(&object->fields, "object", kind);
	log_fields_number(&object->fields, "id", id);
}

/* The kind of object that {Tag, Id} names; NULL: none. */
static const char *kind_of(const struct call *call, struct term tag)
{
	if (term_is_atom(tag, "id"))
		return call->of_programs ? "program" : "map";
	return call->of_programs && term_is_atom(tag, "link") ? "link" : NULL;
}

/* {id, Id} or {link, Id} as "Tag Id" */
static bool describe_id(const struct call *call, const struct term pair[2],
			struct object *object)
{
	const char *kind = kind_of(call, pair[0]);
	uint32_t id;

	if (!kind || !term_read_uint32(pair[1], &id))
		return false;
	snprintf(object->words, sizeof(object->words), ": %s %u",
		 strcmp(kind, "link") == 0 ? "link" : "id", id);
	add_object(object, kind, id);
	return true;
}

/* A locator as "Tag Id", "Tag Path" or "Tag Name"; no words for others. */
static void describe_locator(const struct call *call, struct term t,
			     struct object *object)
{
	static const char *const tags[] = { "pinned", "name" };
	static const char *const keys[] = { "path", "name" };
	struct term pair[2];

	if (!term_tuple_of(t, pair, 2) || describe_id(call, pair, object))
		return;
	for (size_t i = 0; i < 2; i++) {
		if (!term_is_atom(pair[0], tags[i]) ||
		    !term_read_text(pair[1], object->name,
				    sizeof(object->name)))
			continue;
		snprintf(object->words, sizeof(object->words), ": %s %s",
			 tags[i], object->name);
		log_fields_text(&object->fields, keys[i], object->name);
	}
}

static void describe_handle(const struct call *call, struct term t,
			    struct object *object)
{
	struct resource *resource = objects_find(call, t);

	if (!resource)
		return;
	snprintf(object->words, sizeof(object->words), ": %s %u",
		 resource->kind->name, resource->id);
	add_object(object, resource->kind->name, resource->id);
	resource_unref(resource);
}

static void add_text(struct object *object, const char *key, const char *text)
{
	size_t size = strlen(object->words);

	snprintf(object->words + size, sizeof(object->words) - size, ": %s",
		 text);
	log_fields_text(&object->fields, key, text);
}

/*
 * The first object among the arguments of a function of programs, and the last
 * of others; what is before it is a key or a value, what is behind it a target.
 * Keys and other values are never logged: a reader of logs may not be allowed
 * to see them.
 */
static void describe(const struct call *call, struct object *object)
{
	for (uint32_t i = 0; i < call->arity && !object->words[0]; i++) {
		struct term t =
			call->args[call->of_programs ? i : call->arity - 1 - i];

		describe_handle(call, t, object);
		describe_locator(call, t, object);
	}
	if ((strcmp(call->function, "pin") == 0 ||
	     strcmp(call->function, "unpin") == 0) &&
	    term_read_text(call->args[0], object->name, sizeof(object->name)))
		add_text(object, "path", object->name);
}

/* --- Reasons ------------------------------------------------------------- */

#define REFUSED(reason) LOG_LIMIT_OF("refused", reason)

static struct {
	const char *why;
	struct log_limit limit;
} refusals[] = {
	[REFUSAL_MAY_ONLY_READ] = { "it may only read (--allow, --read-only)",
				    REFUSED("may_only_read") },
	[REFUSAL_NOT_ITS_OWN] = { "it may only read, and the handle is not its "
				  "own",
				  REFUSED("not_its_own") },
	[REFUSAL_OUTSIDE_PIN_ROOT] = { "not to be reached below --pin-root",
				       REFUSED("outside_pin_root") },
	[REFUSAL_KEPT] = { "in the folder of --keep, which is for this node "
			   "alone",
			   REFUSED("kept_folder") },
	[REFUSAL_OUTSIDE_FILE_ROOT] = { "not to be reached below --file-root",
					REFUSED("outside_file_root") },
	[REFUSAL_NO_CGROUP] = { "not in the cgroup file system",
				REFUSED("no_cgroup") },
	[REFUSAL_NO_PROGRAMS] = { "this node serves no programs (--programs)",
				  REFUSED("no_programs") },
	[REFUSAL_MAY_NOT_LOAD] = { "it may not load programs (--allow "
				   "PATTERN=load)",
				   REFUSED("may_not_load") },
	[REFUSAL_NOT_LOADED_BY_IT] = { "it may not load programs, and the "
				       "handle is not its own",
				       REFUSED("not_loaded_by_it") },
	[REFUSAL_PROGRAM_TYPE] = { "--programs does not allow the type",
				   REFUSED("program_type") },
	[REFUSAL_RESTRICTED_MAP] = { "a program could write to a map that this "
				     "handle may only read, or read one that "
				     "it may only write",
				     REFUSED("restricted_map") },
	[REFUSAL_OUTSIDE_NETNS_ROOT] = { "not to be reached below --netns-root",
					 REFUSED("outside_netns_root") },
	[REFUSAL_NO_VMLINUX_TYPES] = { "this node serves no types of the "
				       "kernel (--vmlinux-types)",
				       REFUSED("no_vmlinux_types") },
	[REFUSAL_FOREIGN_RING] = { "the ring was not made here, and it may not "
				   "load programs: it would take the events "
				   "from their reader",
				   REFUSED("foreign_ring") },
};

static const char *key_of(enum refusal refusal)
{
	return refusal == REFUSAL_PROGRAM_TYPE ||
			       refusal == REFUSAL_RESTRICTED_MAP ||
			       refusal == REFUSAL_NO_VMLINUX_TYPES
		       ? "name"
		       : "path";
}

bool refusal_raise(struct call *call, enum refusal refusal, const char *path)
{
	struct log_limit *limit = &refusals[refusal].limit;
	erlang_pid pid = { .num = 0 };
	struct object object;

	object.words[0] = '\0';
	log_fields_start(&object.fields, limit->event, limit->reason);
	if (path && *path)
		add_text(&object, key_of(refusal), path);
	else
		describe(call, &object);
	term_read_pid(call->caller, &pid);
	log_limited_with(limit, &object.fields, LOG_WARNING,
			 "refused %s/%u to %s <%u.%u>: %s%s", call->function,
			 call->arity, call->context->peer, pid.num, pid.serial,
			 refusals[refusal].why, object.words);
	return raise_errno(call, -EACCES);
}
