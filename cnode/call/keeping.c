/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attachments by keepers of the loader. What a keeper says of itself is not
 * read: the link is described as the caller asked for it.
 */
#include "call/keeping.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "bpf/link.h"
#include "bpf/program.h"
#include "call/loading.h"

bool keeping_can(const struct attach_target *target)
{
	return attach_rows[target->kind].by_keeper &&
	       (target->order == ATTACH_FIRST || target->order == ATTACH_LAST);
}

/* --- Attaching ----------------------------------------------------------- */

static struct link_info known_of(const struct call *call,
				 const struct attach_target *target)
{
	const struct program *program = call->program;
	struct link_info known = { .program_id = program->resource.id };

	if (target->kind == ATTACH_TC) {
		known.type = LINK_CLSACT;
		known.ifindex = target->ifindex;
		return known;
	}
	known.type = LINK_SOCKMAP_ATTACH;
	known.map_id = call->value_map->resource.id;
	known.has_attach_type = true;
	known.attach_type = attach_type_of(target->kind, program->type,
					   program->attach_type);
	return known;
}

static void warn(const struct call *call, const struct link_info *known)
{
	static struct log_limit limit = LOG_LIMIT_INITIALIZER;

	log_limited(&limit, LOG_WARNING,
		    "program %u is attached for %s as %s, as this kernel has "
		    "no link for that: a process of its own detaches it when "
		    "its handle ends; if that process is killed, it stays "
		    "attached",
		    known->program_id, call->context->peer,
		    link_type_name(known->type));
}

/* The descriptor of the keeper, taken over; -1: there is none. */
static int take_keeper(struct loading *loading)
{
	struct record record;
	size_t at = 0;

	while (loading_next(loading, &at, &record))
		if (record.kind == LOADER_R_KEPT)
			return loader_answer_take(&loading->answer, record.fd);
	return -1;
}

static int adopt(struct loading *loading, const struct link_info *known,
		 struct link **link)
{
	int fd = take_keeper(loading);

	return fd < 0 ? -EPROTO : link_adopt_kept(fd, known, link);
}

bool keeping_attach(struct call *call, const struct attach_target *target,
		    struct link **link)
{
	const int fds[] = { call->program->resource.fd, target->fd };
	const struct link_info known = known_of(call, target);
	struct loading loading;
	bool good, done;
	int error;

	loading_init(&loading, LOADER_KEEP);
	loading.request.fds = fds;
	loading.request.fd_count = target->fd < 0 ? 1 : 2;
	loading_add_bytes(&loading, LOADER_O_TARGET, target, sizeof(*target));
	loading_add_number(&loading, LOADER_O_ATTACH_TYPE, known.attach_type);
	good = loading_ask(call, &loading, &done);
	if (good && !done) {
		error = adopt(&loading, &known, link);
		if (error == -ENOMEM)
			call_write_error(call, error);
		else if (error < 0)
			loading_lied(call, "it keeps nothing");
		else
			warn(call, &known);
	}
	loading_fini(&loading);
	return good;
}

/* --- Detaching ----------------------------------------------------------- */

int keeping_detach(const struct call *call, const struct link *link)
{
	static struct log_limit limit = LOG_LIMIT_INITIALIZER;
	int error =
		loader_keeper_end(link->resource.fd, call->context->stopped);

	if (error == -ESRCH)
		log_limited(&limit, LOG_WARNING,
			    "the process that was to detach program %u, "
			    "attached as %s, has been killed: it may still be "
			    "attached",
			    link->program_id, link_type_name(link->type));
	else if (error < 0)
		log_limited(&limit, LOG_WARNING,
			    "program %u, attached as %s, may still be "
			    "attached: %s",
			    link->program_id, link_type_name(link->type),
			    strerror(-error));
	return error;
}
