/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queries the name services of this host in a child process. The libraries and
 * memory that they need go with it, it can be killed when they hang, and glibc
 * crashes in them when memory runs out.
 */
#include "host/child.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/patience.h"

/* One write of less than PIPE_BUF never blocks. */
_Noreturn static void answer(int fd, const struct child_task *task,
			     void *result, size_t size)
{
	int error = task->work(result, task->about);
	const struct iovec parts[] = { { &error, sizeof(error) },
				       { result, size } };

	_exit(writev(fd, parts, 2) < 0);
}

static int read_answer(int fd, const struct child_task *task, void *result,
		       size_t size)
{
	int error;
	const struct iovec parts[] = { { &error, sizeof(error) },
				       { result, size } };

	if (!patience_readable(fd, task->most_ms, task->what))
		return ETIMEDOUT;
	if (readv(fd, parts, 2) != (ssize_t)(sizeof(error) + size))
		return ENODATA;
	return error;
}

int child_ask(const struct child_task *task, void *result, size_t size)
{
	int ends[2], error;
	pid_t child;

	if (size > PIPE_BUF - sizeof(error))
		return EMSGSIZE;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return errno;
	child = fork();
	if (child == 0)
		answer(ends[1], task, result, size);
	error = child < 0 ? errno : 0;
	close(ends[1]);
	if (error == 0)
		error = read_answer(ends[0], task, result, size);
	close(ends[0]);
	if (error == ETIMEDOUT)
		kill(child, SIGKILL);
	while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	return error;
}
