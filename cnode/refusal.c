/* SPDX-License-Identifier: Apache-2.0 */
/* What a node is refused, and the line in the log that says so. */
#include "refusal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "log.h"

/* {Tag, Id}, {Tag, Path} or {Tag, Name} of open/1,2, as "Tag Id" and so on. */
static void describe_opened(struct term t, char *text, size_t size)
{
	static const char *const tags[] = { "id", "pinned", "name" };
	char words[PATH_MAX];
	struct term what[2];
	uint32_t id;

	if (!term_tuple_of(t, what, 2))
		return;
	if (term_read_uint32(what[1], &id))
		snprintf(words, sizeof(words), "%u", id);
	else if (!call_read_text(what[1], words, sizeof(words)))
		return;
	for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++)
		if (term_is_atom(what[0], tags[i]))
			snprintf(text, size, ": %s %s", tags[i], words);
}

/* The last handle: a value may be one too, and comes before the map. */
static void describe_map(const struct call *call, char *text, size_t size)
{
	struct map *map = NULL;
	erlang_ref ref;

	for (uint32_t i = call->arity; i > 0 && !map; i--)
		if (call_read_handle_ref(call->args[i - 1], &ref))
			map = handles_get(call->context->common->handles, &ref);
	if (map)
		snprintf(text, size, ": map %u", map->id);
	map_unref(map);
}

/* Of what is named, but of no key and no value: who reads logs is another. */
static void describe(const struct call *call, char *text, size_t size)
{
	char path[PATH_MAX];

	text[0] = '\0';
	if (strcmp(call->function, "open") == 0)
		describe_opened(call->args[0], text, size);
	else
		describe_map(call, text, size);
	if ((strcmp(call->function, "pin") == 0 ||
	     strcmp(call->function, "unpin") == 0) &&
	    call_read_text(call->args[0], path, sizeof(path)))
		snprintf(text + strlen(text), size - strlen(text), ": %s",
			 path);
}

bool refusal_raise(struct call *call, enum refusal refusal, const char *path)
{
	static struct {
		const char *why;
		struct log_limit limit;
	} refusals[] = {
		[REFUSAL_MAY_ONLY_READ] = { "it may only read (--allow, "
					    "--read-only)",
					    LOG_LIMIT_INITIALIZER },
		[REFUSAL_NOT_ITS_OWN] = { "it may only read, and the handle is "
					  "not its own",
					  LOG_LIMIT_INITIALIZER },
		[REFUSAL_OUTSIDE_PIN_ROOT] = { "not to be reached below "
					       "--pin-root",
					       LOG_LIMIT_INITIALIZER },
		[REFUSAL_OUTSIDE_FILE_ROOT] = { "not to be reached below "
						"--file-root",
						LOG_LIMIT_INITIALIZER },
		[REFUSAL_NO_CGROUP] = { "not in the cgroup file system",
					LOG_LIMIT_INITIALIZER },
	};

	char what[PATH_MAX + 32];
	erlang_pid pid = { .num = 0 };

	if (path)
		snprintf(what, sizeof(what), ": %s", path);
	else
		describe(call, what, sizeof(what));
	term_read_pid(call->caller, &pid);
	log_limited(&refusals[refusal].limit, LOG_WARNING,
		    "refused %s/%u to %s <%u.%u>: %s%s", call->function,
		    call->arity, call->context->peer, pid.num, pid.serial,
		    refusals[refusal].why, what);
	return call_raise_errno(call, -EACCES);
}
