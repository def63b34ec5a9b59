/* SPDX-License-Identifier: Apache-2.0 */
/* The loader, as the node has it: start, end, and whether it is there. */
#include "loader/loader.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/patience.h"
#include "loader/loader_internal.h"
#include "loader/loader_message.h"
#include "loader/loader_process.h"

#define START_MS 30000
#define STOP_MS 3000

/* --- Whether it is there ------------------------------------------------ */

void loader_note_gone(struct loader *loader)
{
	if (!atomic_exchange(&loader->gone, true))
		log_error("the loader is gone: programs can be neither loaded "
			  "nor run until this node is started again; maps go "
			  "on");
}

void loader_note_silent(struct loader *loader, bool silent)
{
	if (atomic_exchange(&loader->silent, silent) == silent)
		return;
	if (silent)
		log_warning("the loader does not answer: programs can be "
			    "neither loaded nor run; maps go on");
	else
		log_notice("the loader answers again");
}

bool loader_is_there(struct loader *loader)
{
	struct pollfd end = { .fd = loader->slots.slots[0].fd };

	if (!atomic_load(&loader->gone) && poll(&end, 1, 0) == 1 &&
	    (end.revents & (POLLHUP | POLLERR)))
		loader_note_gone(loader);
	return !atomic_load(&loader->gone) && !atomic_load(&loader->silent);
}

int loader_fd(const struct loader *loader)
{
	return loader && !atomic_load(&loader->gone) ? loader->slots.slots[0].fd
						     : -1;
}

/* --- The start and the end ---------------------------------------------- */

static void close_slots(struct loader *loader)
{
	for (unsigned i = 0; i < loader->slots.count; i++)
		if (loader->slots.slots[i].fd >= 0)
			close(loader->slots.slots[i].fd);
}

static int open_slots(struct loader *loader, int *other_ends)
{
	int ends[2];

	for (unsigned i = 0; i < loader->slots.count; i++) {
		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0,
			       ends) < 0)
			return -errno;
		loader->slots.slots[i].fd = ends[0];
		other_ends[i] = ends[1];
	}
	return 0;
}

static bool is_ready(const struct loader *loader)
{
	int fd = loader->slots.slots[0].fd;
	struct loader_message message;
	struct loader_parcel parcel;

	if (!patience_readable(fd, START_MS, "the loader"))
		return false;
	return loader_message_receive(fd, &message, NULL, 0, &parcel) == 0 &&
	       message.type == LOADER_READY;
}

/* In the child this does not return. */
static int fork_process(const struct loader *loader, const int *ends)
{
	pid_t node = getpid(), child = fork();

	if (child == 0) {
		for (unsigned i = 0; i < loader->slots.count; i++)
			close(loader->slots.slots[i].fd);
		loader_process_run(&loader->options, ends, node);
	}
	if (child < 0)
		return -errno;
	/* it is not waited for: a loader that ends must not stay a zombie */
	signal(SIGCHLD, SIG_IGN);
	return 0;
}

static int start(struct loader *loader)
{
	unsigned count = loader->options.max_loads;
	int *ends = malloc(count * sizeof(*ends));
	int error;

	if (!ends)
		return -ENOMEM;
	memset(ends, -1, count * sizeof(*ends));
	error = open_slots(loader, ends);
	if (error == 0)
		error = fork_process(loader, ends);
	for (unsigned i = 0; i < count; i++)
		if (ends[i] >= 0)
			close(ends[i]);
	free(ends);
	if (error == 0 && !is_ready(loader))
		error = -ESRCH;
	return error;
}

struct loader *loader_start(const struct loader_options *options)
{
	struct loader *loader = calloc(1, sizeof(*loader));
	int error = -ENOMEM;

	if (loader && loader_slots_init(&loader->slots, options->max_loads)) {
		loader->options = *options;
		error = start(loader);
	}
	if (error == 0)
		return loader;
	log_error("cannot start the loader: %s",
		  error == -ESRCH ? "it has ended" : strerror(-error));
	loader_stop(loader);
	return NULL;
}

void loader_stop(struct loader *loader)
{
	struct pollfd end;

	if (!loader)
		return;
	for (unsigned i = 0; i < loader->slots.count; i++)
		shutdown(loader->slots.slots[i].fd, SHUT_WR);
	end = (struct pollfd){ .fd = loader_fd(loader) };
	if (end.fd >= 0)
		poll(&end, 1, STOP_MS); /* for its end of that socket */
	close_slots(loader);
	loader_slots_fini(&loader->slots);
	free(loader);
}
