/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request to the loader: waits for a slot, sends it, and waits for its answer
 * and its end. Nothing that comes back is believed: answers are bounded here,
 * and read elsewhere.
 */
#include "loader/loader.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/budget.h"
#include "base/clock.h"
#include "base/log.h"
#include "loader/loader_answer.h"
#include "loader/loader_internal.h"
#include "loader/loader_message.h"

#define GRACE_MS 5000  /* for the loader itself, beyond its child's time */
#define SILENT_MS 1000 /* the same once it has not answered */
#define LOOK_MS 100    /* at *stopped */

/* One request on its way. */
struct exchange {
	struct loader *loader;
	const struct loader_request *request;
	struct loader_answer *answer;
	struct loader_slot *slot;
	uint64_t serial;
	int answer_fd; /* -1: none yet, or its end was read */
	int64_t deadline;
	struct loader_message end; /* type LOADER_ENDED once it came */
	bool let_go;               /* a keeper: it has answered */
	bool wrong;                /* the child has broken the protocol */
	bool no_memory;
};

/* --- What is sent ------------------------------------------------------- */

static bool write_all(int fd, const void *bytes, size_t size)
{
	const char *at = bytes;
	ssize_t n;

	for (; size > 0; at += n, size -= (size_t)n) {
		n = write(fd, at, size);
		if (n <= 0)
			return false;
	}
	return true;
}

/* -1: out of memory or descriptors. */
static int make_memfd(const struct loader_request *request)
{
	int fd = memfd_create("request", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -1;
	if (write_all(fd, request->records->bytes, request->records->size) &&
	    write_all(fd, request->object, request->object_size) &&
	    fcntl(fd, F_ADD_SEALS,
		  F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) ==
		    0)
		return fd;
	close(fd);
	return -1;
}

static int send_request(const struct exchange *x, int memfd)
{
	const struct loader_request *request = x->request;
	struct loader_message message = {
		.serial = x->serial,
		.type = LOADER_REQUEST,
		.job = request->job,
		.records_size = (uint32_t)request->records->size,
		.object_size = (uint32_t)request->object_size,
		.fd_count = request->fd_count + 1,
	};
	int fds[LOADER_MAX_FDS];

	fds[0] = memfd;
	if (request->fd_count > 0)
		memcpy(fds + 1, request->fds, request->fd_count * sizeof(*fds));
	return loader_message_send(x->slot->fd, &message, NULL, fds, false);
}

static void say(const struct exchange *x, enum loader_message_type type)
{
	const struct loader_message message = {
		.serial = x->serial,
		.type = type,
	};

	loader_message_send(x->slot->fd, &message, NULL, NULL, false);
}

/* Its whole answer is there; without one it has ended, or will be. */
static void let_go_of_keeper(struct exchange *x)
{
	if (x->request->job != LOADER_KEEP || x->let_go || x->answer_fd >= 0 ||
	    x->answer->size == 0)
		return;
	x->let_go = true;
	say(x, LOADER_LET_GO);
}

static int64_t time_for(const struct exchange *x)
{
	return INT64_C(1000) *
		       loader_seconds(&x->loader->options, x->request->job) +
	       GRACE_MS;
}

static void note_started(struct exchange *x, struct loader_parcel *parcel)
{
	loader_note_silent(x->loader, false);
	if (x->answer_fd >= 0 || parcel->fd_count != 1)
		return;
	x->answer_fd = parcel->fds[0];
	parcel->fd_count = 0;
	x->deadline = clock_ms() + time_for(x);
}

/* From the loader: 0, or -errno if it is gone. */
static int read_slot(struct exchange *x)
{
	struct loader_message message;
	struct loader_parcel parcel;
	ssize_t n =
		loader_message_receive(x->slot->fd, &message, NULL, 0, &parcel);

	if (n == -EAGAIN)
		return 0;
	if (n < 0) {
		x->no_memory = n == -EMFILE;
		return (int)n;
	}
	if (message.serial == x->serial && message.type == LOADER_STARTED)
		note_started(x, &parcel);
	if (message.serial == x->serial && message.type == LOADER_ENDED)
		x->end = message;
	loader_parcel_close(&parcel);
	return 0;
}

static void close_answer(struct exchange *x)
{
	if (x->answer_fd >= 0)
		close(x->answer_fd);
	x->answer_fd = -1;
}

/* --- What comes back ---------------------------------------------------- */

/* From the child: false if there is no more now. */
static bool read_answer(struct exchange *x)
{
	int error = x->answer_fd < 0
			    ? -EPIPE
			    : loader_answer_receive(x->answer, x->answer_fd,
						    x->serial);

	if (error == 0)
		return true;
	if (error == -EAGAIN)
		return false;
	x->no_memory |= error == -ENOMEM || error == -EMFILE;
	x->wrong |= error == -EPROTO;
	close_answer(x);
	return false;
}

/* Until something can be read, the deadline, or a moment. */
static short wait_for(const struct exchange *x)
{
	struct pollfd fds[] = {
		{ .fd = x->slot->fd, .events = POLLIN },
		{ .fd = x->answer_fd, .events = POLLIN },
	};
	int64_t left = x->deadline - clock_ms();

	poll(fds, 2, left < 0 ? 0 : left < LOOK_MS ? (int)left : LOOK_MS);
	return fds[0].revents;
}

/* Serves what comes next. LOADER_ANSWERED: nothing is in the way. */
static enum loader_outcome go_on(struct exchange *x)
{
	if (atomic_load(x->request->stopped))
		return LOADER_CANCELED;
	if (clock_ms() >= x->deadline) {
		loader_note_silent(x->loader, true);
		return LOADER_GONE;
	}
	if (wait_for(x) && read_slot(x) < 0 && !x->no_memory) {
		loader_note_gone(x->loader);
		return LOADER_GONE;
	}
	read_answer(x);
	let_go_of_keeper(x);
	if (x->no_memory)
		return LOADER_NO_MEMORY;
	return x->wrong ? LOADER_KILLED : LOADER_ANSWERED;
}

static void log_end(const struct exchange *x, const char *how)
{
	static const char *const jobs[] = {
		[LOADER_LOAD] = "loading an object",
		[LOADER_INSTRUCTIONS] = "loading a program",
		[LOADER_RUN] = "running a program",
		[LOADER_ATTACH] = "attaching a program",
		[LOADER_KEEP] = "attaching a program",
		[LOADER_PERF] = "opening perf events",
	};
	static struct log_limit limit = LOG_LIMIT_INITIALIZER;

	log_limited(&limit, LOG_WARNING, "%s for %s: the loader's child %s",
		    jobs[x->request->job], x->request->node, how);
}

static void log_killed(const struct exchange *x)
{
	char how[64];

	if (x->end.signal == 0) {
		log_end(x, "failed");
		return;
	}
	snprintf(how, sizeof(how), "was killed by signal %u", x->end.signal);
	log_end(x, how);
}

/* By the loader's last word. The child is gone, so all that it sent is there.
 */
static enum loader_outcome conclude(struct exchange *x)
{
	switch (x->end.end) {
	case LOADER_END_EXITED:
		break;
	case LOADER_END_TIMEOUT:
		log_end(x, "took too long");
		return LOADER_TIMEOUT;
	case LOADER_END_NO_MEMORY:
		return LOADER_NO_MEMORY;
	default:
		log_killed(x);
		return LOADER_KILLED;
	}
	while (read_answer(x))
		;
	if (x->no_memory)
		return LOADER_NO_MEMORY;
	if (!x->wrong && x->answer->size > 0)
		return LOADER_ANSWERED;
	log_end(x, "gave no proper answer");
	return LOADER_KILLED;
}

static enum loader_outcome talk(struct exchange *x, int memfd)
{
	enum loader_outcome outcome = LOADER_ANSWERED;
	int error = send_request(x, memfd);

	if (error == -EAGAIN) {
		loader_note_silent(x->loader, true);
		return LOADER_GONE;
	}
	if (error == -ETOOMANYREFS)
		return LOADER_BUSY;
	if (error < 0) {
		loader_note_gone(x->loader);
		return LOADER_GONE;
	}
	x->deadline = clock_ms() +
		      (atomic_load(&x->loader->silent) ? SILENT_MS : GRACE_MS);
	while (outcome == LOADER_ANSWERED && x->end.type != LOADER_ENDED)
		outcome = go_on(x);
	if (outcome == LOADER_ANSWERED)
		return conclude(x);
	if (x->wrong)
		log_end(x, "sent something else than an answer");
	say(x, LOADER_CANCEL);
	return outcome;
}

static enum loader_outcome ask_on(struct loader *loader,
				  struct loader_slot *slot,
				  const struct loader_request *request,
				  struct loader_answer *answer)
{
	struct exchange x = {
		.loader = loader,
		.request = request,
		.answer = answer,
		.slot = slot,
		.answer_fd = -1,
	};
	enum loader_outcome outcome = LOADER_NO_MEMORY;
	int memfd;

	if (getrandom(&x.serial, sizeof(x.serial), 0) != sizeof(x.serial))
		return LOADER_NO_MEMORY;
	memfd = make_memfd(request);
	if (memfd >= 0) {
		outcome = talk(&x, memfd);
		close(memfd);
	}
	close_answer(&x);
	return outcome;
}

enum loader_outcome loader_ask(struct loader *loader,
			       const struct loader_request *request,
			       struct loader_answer *answer)
{
	size_t size = request->records->size + request->object_size;
	enum loader_outcome outcome;
	struct loader_slot *slot;

	*answer = (struct loader_answer){ .account = request->account };
	if (request->records->failed || size > UINT32_MAX ||
	    request->fd_count >= LOADER_MAX_FDS)
		return LOADER_NO_MEMORY;
	if (atomic_load(&loader->gone))
		return LOADER_GONE;
	slot = loader_slots_take(&loader->slots, request->node,
				 request->stopped, &outcome);
	if (!slot)
		return outcome;
	outcome = LOADER_NO_MEMORY;
	if (budget_reserve(request->account, size)) { /* for the memfd */
		outcome = ask_on(loader, slot, request, answer);
		budget_release(request->account, size);
	}
	loader_slots_give(&loader->slots, slot);
	return outcome;
}
