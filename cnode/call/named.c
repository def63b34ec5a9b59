/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens what keys and values name on this host:
 *
 *	{pid, OsPid} | {file, Path} | {cgroup, Path} | {ifname, Name}
 *
 * A number is never taken for a descriptor.
 */
#include "call/named.h"

#include <errno.h>
#include <unistd.h>

#include "call/refusal.h"
#include "host/names.h"

/* {Tag, Name} */
static bool read_tagged(struct term t, const char *tag, struct term *name)
{
	struct term pair[2];

	if (!term_tuple_of(t, pair, 2) || !term_is_atom(pair[0], tag))
		return false;
	*name = pair[1];
	return true;
}

/* Keeps fd in place of the previous one; raises -errno. */
static bool keep_fd(struct call *call, int *kept, int fd)
{
	if (fd < 0)
		return raise_errno(call, fd);
	if (*kept >= 0)
		close(*kept);
	*kept = fd;
	return true;
}

static bool open_process(struct call *call, struct term t)
{
	struct term name;
	uint32_t pid;

	if (!read_tagged(t, "pid", &name) || !term_read_uint32(name, &pid) ||
	    pid == 0 || pid > INT32_MAX)
		return raise_reason(call, RAISED_BADARG);
	return keep_fd(call, &call->key_fd, names_open_process(pid));
}

static bool read_tagged_path(struct call *call, struct term t, const char *tag,
			     char path[PATH_MAX])
{
	struct term name;

	if (!read_tagged(t, tag, &name))
		return raise_reason(call, RAISED_BADARG);
	return call_read_path(call, name, path);
}

/* The same for a path; -EACCES is a refusal, which is logged. */
static bool keep_found(struct call *call, int *kept, int fd,
		       enum refusal refusal, const char *path)
{
	return fd == -EACCES ? refusal_raise(call, refusal, path)
			     : keep_fd(call, kept, fd);
}

static bool open_file(struct call *call, struct term t)
{
	char path[PATH_MAX];

	return read_tagged_path(call, t, "file", path) &&
	       keep_found(
		       call, &call->key_fd,
		       names_open_file(&call->context->common->file_root, path),
		       REFUSAL_OUTSIDE_FILE_ROOT, path);
}

bool named_open_cgroup(struct call *call, struct term t, int *kept)
{
	char path[PATH_MAX];

	return read_tagged_path(call, t, "cgroup", path) &&
	       keep_found(call, kept, names_open_cgroup(path),
			  REFUSAL_NO_CGROUP, path);
}

bool named_open_key(struct call *call, struct term t)
{
	unsigned traits = call->map->traits;

	if (traits & MAP_KEY_IS_PROCESS)
		return open_process(call, t);
	if (traits & MAP_KEY_IS_FILE)
		return open_file(call, t);
	if (traits & MAP_KEY_IS_CGROUP)
		return named_open_cgroup(call, t, &call->key_fd);
	/* a socket: this process would have to own it */
	return raise_errno(call, -EOPNOTSUPP);
}

bool named_read_interface(struct call *call, struct term t, uint32_t *index,
			  bool *named)
{
	char text[64];
	struct term name;
	int error;

	*named = read_tagged(t, "ifname", &name);
	if (!*named)
		return true;
	if (!term_read_text(name, text, sizeof(text)))
		return raise_reason(call, RAISED_BADARG);
	error = names_interface(text, index);
	return error == 0 || raise_errno(call, error);
}
