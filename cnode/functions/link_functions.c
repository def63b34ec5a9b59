/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions that attach programs:
 *
 *	attach(Program, Target[, Options])
 *	           -> link() | {error, Posix | {loader, _}}
 *	detach(Link)          -> ok | {error, Posix}
 *	update(Link, Program) -> link() | {error, Posix}
 *
 *	Options = [{lifetime, node | process | permanent}]
 *
 * Targets are those of call/targets.c. Each attachment is a kernel link, which
 * ends with its handle, unless it is pinned; or where the kernel has none for
 * it, that of call/keeping.c.
 */
#include <errno.h>
#include <string.h>

#include "bpf/attach.h"
#include "bpf/link.h"
#include "bpf/pins.h"
#include "bpf/program.h"
#include "call/keeping.h"
#include "call/loading.h"
#include "call/objects.h"
#include "call/targets.h"
#include "functions/handlers.h"
#include "handles/audit.h"

#define MAX_LINKS 1024 /* of one attachment: one for each processor */

/* --- attach/2,3 ---------------------------------------------------------- */

/* The kernel says what it is, and of which program. */
static int adopt(const struct program *program, const int *fds, unsigned count,
		 struct link **link)
{
	int error = link_adopt(fds, count, link);

	if (error == 0 && (*link)->program_id != program->resource.id) {
		resource_unref(&(*link)->resource);
		*link = NULL;
		error = -EPROTO;
	}
	return error;
}

static int take_links(struct loading *loading, const struct program *program,
		      struct link **link)
{
	struct record record;
	int fds[MAX_LINKS], fd;
	unsigned count = 0;
	size_t at = 0;

	while (count < MAX_LINKS && loading_next(loading, &at, &record)) {
		fd = record.kind == LOADER_R_LINK
			     ? loader_answer_take(&loading->answer, record.fd)
			     : -1;
		if (fd >= 0)
			fds[count++] = fd;
	}
	return count > 0 ? adopt(program, fds, count, link) : -EPROTO;
}

static bool attach_by_loader(struct call *call,
			     const struct attach_target *target,
			     struct link **link)
{
	const struct program *program = call->program;
	struct loading loading;
	bool good, done;
	int error;

	loading_init(&loading, LOADER_ATTACH);
	loading.request.fds = &program->resource.fd;
	loading.request.fd_count = 1;
	loading_add_bytes(&loading, LOADER_O_TARGET, target, sizeof(*target));
	good = loading_ask(call, &loading, &done);
	if (good && !done) {
		error = take_links(&loading, program, link);
		if (error == -ENOMEM)
			call_write_error(call, error);
		else if (error < 0)
			loading_lied(call, "it made no link of that program");
	}
	loading_fini(&loading);
	return good;
}

/* *link stays NULL where {error, _} has been written. */
static bool attach(struct call *call, const struct attach_target *target,
		   struct link **link)
{
	const struct program *program = call->program;
	int fd, error;

	if (attach_rows[target->kind].by_loader)
		return attach_by_loader(call, target, link);
	error = attach_by_fd(program->resource.fd, program->type,
			     program->attach_type, target, &fd);
	if (error == -EOPNOTSUPP && keeping_can(target))
		return keeping_attach(call, target, link);
	if (error == 0)
		error = adopt(program, &fd, 1, link);
	if (error < 0)
		call_write_error(call, error);
	return true;
}

static int set_target(const struct call *call, struct link *link,
		      const struct attach_target *target)
{
	struct term_writer w;
	int error;

	term_writer_init(&w);
	targets_write(call, &w, call->args[1], target);
	error = w.failed ? -ENOMEM : link_set_target(link, w.buf, w.pos);
	term_writer_fini(&w);
	return error;
}

static void audit(const char *event, const struct link *link,
		  const char *target)
{
	const struct audit audit = { .event = event,
				     .handle = AUDIT_NO_HANDLE,
				     .program = link->program_id,
				     .target = target };

	audit_resource(audit, &link->resource);
}

/* How an attachment is held. */
struct holding {
	enum handles_lifetime lifetime;
	struct handles_reservation reservation; /* of its place */
};

static bool hold(struct call *call, struct link *link,
		 const struct attach_target *target, struct holding *holding)
{
	char text[TARGETS_TEXT_SIZE];
	int error = set_target(call, link, target);

	if (error < 0) {
		resource_unref(&link->resource);
		return raise_no_memory(call);
	}
	resource_ref(&link->resource);
	objects_hold_and_write(call, &link->resource, holding->lifetime,
			       &holding->reservation);
	if (call->returned == 0 && audit_is_on()) {
		targets_describe(call, target, text);
		audit("attached", link, text);
	}
	resource_unref(&link->resource);
	return true;
}

static bool attach_and_hold(struct call *call,
			    const struct attach_target *target,
			    struct holding *holding)
{
	struct link *link = NULL;

	return attach(call, target, &link) &&
	       (!link || hold(call, link, target, holding));
}

bool link_functions_attach(struct call *call)
{
	const struct call_context *context = call->context;
	struct holding holding = {
		.reservation.left = { [RESOURCE_PROGRAMS] = 1 },
	};
	struct attach_target target;
	bool good;
	int error;

	if (!objects_read_program(call, call->args[0]) ||
	    !objects_read_lifetime(call, 2, &holding.lifetime) ||
	    !objects_check_type(call) ||
	    !targets_read(call, call->args[1], call->program, &target,
			  &error) ||
	    !call_check_answer(call, CALL_MAX_HANDLE_SIZE +
					     sizeof(struct attach_target) +
					     call->args[1].size))
		return false;
	if (error == 0)
		error = handles_reserve(context->common->handles,
					context->owner, &holding.reservation);
	if (error < 0)
		return call_write_error(call, error);
	good = attach_and_hold(call, &target, &holding);
	handles_unreserve(context->common->handles, context->owner,
			  &holding.reservation);
	return good;
}

/* --- detach/1 ------------------------------------------------------------ */

static void count_handle(const struct handles_info *info, void *context)
{
	unsigned *count = context;

	(void)info;
	++*count;
}

/* Where the kernel cannot detach, a link ends with its last holder. */
static int check_last_holder(const struct call *call, const struct link *link)
{
	unsigned handles = 0;
	struct pins pins;
	int error =
		pins_find_of(&pins, &link->resource, call->context->stopped);
	size_t pinned;

	if (error < 0)
		return error;
	pinned = pins.count;
	pins_free(&pins);
	handles_each(call->context->common->handles, &link_kind,
		     link->resource.id, count_handle, &handles);
	return pinned > 0 || handles > 1 ? -EOPNOTSUPP : 0;
}

static int detach(const struct call *call, const struct link *link)
{
	int error = link_detach(link);

	return error == -EOPNOTSUPP ? check_last_holder(call, link) : error;
}

bool link_functions_detach(struct call *call)
{
	const struct link *link;
	int error;

	if (!objects_read_link(call, call->args[0]))
		return false;
	link = call->link;
	error = link->kept ? keeping_detach(call, link) : detach(call, link);
	/* one that is kept has been given up in any case */
	if (error < 0 && !link->kept)
		return call_write_error(call, error);
	if (error == 0)
		audit("detached", link, NULL);
	objects_end(call, call->args[0], &link_kind);
	/* the kernel may still be at work with it: what returns is over */
	resource_unref(&call->link->resource);
	call->link = NULL;
	return call_write_ok(call, error);
}

/* --- update/2 ------------------------------------------------------------ */

bool link_functions_update(struct call *call)
{
	int error;

	if (!objects_read_link(call, call->args[0]) ||
	    !objects_read_program(call, call->args[1]) ||
	    !objects_check_type(call) ||
	    !call_check_answer(call, call->args[0].size))
		return false;
	error = link_update(call->link, call->program);
	if (error < 0)
		return call_write_error(call, error);
	audit("updated", call->link, NULL);
	term_write_term(call->out, call->args[0]);
	return true;
}
