/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A keeper: makes an attachment that the kernel keeps for nobody, and stays to
 * remove it. The answer is one end of a socket. Once all its holders have
 * closed or shut down that end, and be it by SIGKILL, the keeper detaches, says
 * how that went, and ends. So it follows neither the loader nor signals.
 *
 * What an attachment takes is more than one step, and others do the same: all
 * keepers have one lock, of fcntl(2), which the kernel gives back for one that
 * is killed.
 */
#include "loader/jobs.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loader/job_errors.h"
#include "loader/job_options.h"
#include "loader/keep_sockmap.h"
#include "loader/keep_tc.h"

/* The attachment of this process. */
static struct keeping {
	int lock;
	const int *fds; /* the program; of a sockmap also the map */
	unsigned fd_count;
	struct job_options options;
	struct keep_tc tc;
	const struct keep_row *row; /* NULL: nothing is attached */
	int socket;                 /* our end */
	int handle;                 /* the node's end, until it is sent */
} keeping;

static int attach_tc(void)
{
	int error = keep_tc_attach(keeping.fds[0], &keeping.options.target,
				   &keeping.tc);

	close(keeping.fds[0]); /* the filter holds it */
	return error;
}

static int detach_tc(void)
{
	return keep_tc_detach(&keeping.tc);
}

static int attach_sockmap(void)
{
	return keep_sockmap_attach(keeping.fds[0], keeping.fds[1],
				   keeping.options.attach_type);
}

static int detach_sockmap(void)
{
	return keep_sockmap_detach(keeping.fds[0], keeping.fds[1],
				   keeping.options.attach_type);
}

static const struct keep_row {
	unsigned fds;
	int (*attach)(void);
	int (*detach)(void);
} rows[ATTACH_KINDS] = {
	[ATTACH_TC] = { 1, attach_tc, detach_tc },
	[ATTACH_SOCKMAP] = { 2, attach_sockmap, detach_sockmap },
};

static int set_lock(short type)
{
	struct flock lock = { .l_type = type, .l_whence = SEEK_SET };

	return fcntl(keeping.lock, F_SETLKW, &lock) < 0 ? -errno : 0;
}

static int locked(int (*operate)(void))
{
	int error = set_lock(F_WRLCK);

	if (error < 0)
		return error;
	error = operate();
	set_lock(F_UNLCK);
	return error;
}

static int attach(void)
{
	const struct keep_row *row = &rows[keeping.options.target.kind];
	int ends[2], error;

	if (!keeping.options.has_target || !row->attach ||
	    keeping.fd_count != row->fds)
		return -EINVAL;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	error = locked(row->attach);
	if (error < 0)
		return error;
	keeping.row = row;
	keeping.socket = ends[0];
	keeping.handle = ends[1];
	return 0;
}

void job_keep(const struct job *job, struct job_answer *answer)
{
	const struct record record = { .kind = LOADER_R_KEPT };
	int error;

	libbpf_set_print(NULL);
	keeping.lock = job->lock;
	keeping.fds = job->fds;
	keeping.fd_count = job->fd_count;
	if (!job_options_read(job, &keeping.options, answer))
		return;
	error = attach();
	if (error < 0)
		job_errors_posix(answer, -error);
	else
		job_answer_add(answer, &record, keeping.handle);
}

int job_keep_on(int socket)
{
	unsigned char byte;
	ssize_t n;
	int error;

	if (keeping.row)
		close(keeping.handle);
	close(socket);
	if (!keeping.row)
		return 0;
	do {
		n = read(keeping.socket, &byte, 1);
	} while (n > 0 || (n < 0 && errno == EINTR));
	error = locked(keeping.row->detach);
	byte = (unsigned char)(error < -UCHAR_MAX ? UCHAR_MAX : -error);
	if (write(keeping.socket, &byte, 1) < 0)
		return 0; /* nobody asks */
	return error;
}
