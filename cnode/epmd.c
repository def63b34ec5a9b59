/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Our registration with epmd, which lasts as long as the descriptor that ei
 * returns for it: a thread waits for its end and registers anew.
 */
#include "epmd.h"

#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"

#define START_MS 10000    /* for an epmd that was started to be there */
#define DECIDE_MS 15000   /* for the first registration, one way or another */
#define NAME_FREE_MS 3000 /* for a node that has just ended to be forgotten */
#define RETRY_MS 50
#define REPUBLISH_MS 1000

/* What the thread and the rest share, under the lock. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t decided_now;
	ei_cnode *node;
	int port;
	int fd;
	bool decided; /* the first registration has come to status */
	enum exit_status status;
	bool over;
} registration = { .lock = PTHREAD_MUTEX_INITIALIZER, .fd = -1 };

static void sleep_ms(int ms)
{
	poll(NULL, 0, ms);
}

static const char *epmd_port(void)
{
	const char *port = getenv("ERL_EPMD_PORT");

	return port ? port : "4369";
}

/* As erl does: `epmd -daemon', by PATH or from where the build found it. */
static int start_epmd(void)
{
	static char name[] = "epmd", daemon[] = "-daemon";
	char *arguments[] = { name, daemon, NULL };
	posix_spawnattr_t attributes;
	sigset_t none, all;
	int error, status;
	pid_t pid;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK |
						      POSIX_SPAWN_SETSIGDEF);
	error = posix_spawnp(&pid, name, NULL, &attributes, arguments, environ);
	if (error)
		error = posix_spawn(&pid, EPMD_PATH, NULL, &attributes,
				    arguments, environ);
	posix_spawnattr_destroy(&attributes);
	if (error)
		return -error;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return 0;
}

/*
 * -EEXIST: epmd does not want that name; ei says so by -1 and EIO. Without a
 * time limit of ei's: that takes a refused connection for a good one, and uses
 * select(2), which writes past its set for descriptors from 1,024 on. Only the
 * thread of this file waits here.
 */
static int publish(void)
{
	int fd = ei_publish(registration.node, registration.port);

	if (fd >= 0) {
		fcntl(fd, F_SETFD, FD_CLOEXEC);
		return fd;
	}
	if (fd == -1 && erl_errno == EIO)
		return -EEXIST;
	return erl_errno ? -erl_errno : -EIO;
}

static enum exit_status describe(int error, int start_error)
{
	if (error == -EEXIST) {
		log_error("the name %s is taken: another node of that name is "
			  "registered with epmd; stop it, or use --sname",
			  registration.node->thisalivename);
		return STATUS_NAME_TAKEN;
	}
	if (start_error < 0)
		log_error("no epmd on port %s, and none could be started: %s; "
			  "install Erlang's epmd, or set PATH",
			  epmd_port(), strerror(-start_error));
	else
		log_error("no epmd on port %s answers: %s; look at `epmd "
			  "-names', ERL_EPMD_PORT and ERL_EPMD_ADDRESS",
			  epmd_port(), strerror(-error));
	return STATUS_EPMD;
}

/* Starts an epmd where none listens, and bears with a name just given up. */
static enum exit_status publish_first(int *fd)
{
	int64_t begin = clock_ms();
	bool started = false;
	int start_error = 0;

	for (;;) {
		*fd = publish();
		if (*fd >= 0)
			return STATUS_OK;
		if (*fd == -ECONNREFUSED && !started) {
			log_info("starting an epmd");
			start_error = start_epmd();
			started = true;
		}
		if (start_error < 0 ||
		    (*fd != -EEXIST && *fd != -ECONNREFUSED) ||
		    clock_ms() - begin >
			    (*fd == -EEXIST ? NAME_FREE_MS : START_MS))
			return describe(*fd, start_error);
		sleep_ms(RETRY_MS);
	}
}

static int publish_again(void)
{
	int last_error = 0, fd;

	while ((fd = publish()) < 0) {
		if (fd != last_error)
			log_warning("not registered with epmd: %s; trying on",
				    fd == -EEXIST ? "the name is taken"
						  : strerror(-fd));
		last_error = fd;
		sleep_ms(REPUBLISH_MS);
	}
	return fd;
}

static void wait_for_end(int fd)
{
	struct pollfd ended = { .fd = fd, .events = POLLIN };
	char octets[64];

	do {
		while (poll(&ended, 1, -1) < 0 && errno == EINTR)
			;
	} while (recv(fd, octets, sizeof(octets), 0) > 0);
}

static void decide(enum exit_status status)
{
	pthread_mutex_lock(&registration.lock);
	registration.decided = true;
	registration.status = status;
	pthread_cond_signal(&registration.decided_now);
	pthread_mutex_unlock(&registration.lock);
}

/* False: it is not wanted any more. */
static bool keep(int fd)
{
	bool wanted;

	pthread_mutex_lock(&registration.lock);
	wanted = !registration.over;
	registration.fd = fd;
	pthread_mutex_unlock(&registration.lock);
	return wanted;
}

static void *stay_registered(void *unused)
{
	int fd = -1;
	enum exit_status status = publish_first(&fd);

	(void)unused;
	keep(fd);
	decide(status);
	while (status == STATUS_OK) {
		wait_for_end(fd);
		if (!keep(-1))
			break;
		close(fd);
		log_warning("epmd has gone; registering with the next one");
		sleep_ms(RETRY_MS);
		fd = publish_again();
		if (!keep(fd))
			break;
		log_notice("registered with epmd again");
	}
	return NULL;
}

static int start_thread(void)
{
	pthread_condattr_t monotonic;
	sigset_t all, before;
	pthread_t thread;
	int error;

	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&registration.decided_now, &monotonic);
	pthread_condattr_destroy(&monotonic);
	/* signals are the main thread's */
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	error = pthread_create(&thread, NULL, stay_registered, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error == 0)
		pthread_detach(thread);
	return error;
}

enum exit_status epmd_publish(ei_cnode *node, int port)
{
	enum exit_status status = STATUS_EPMD;
	struct timespec deadline;
	int error;

	registration.node = node;
	registration.port = port;
	error = start_thread();
	if (error) {
		log_error("no thread to register with epmd: %s",
			  strerror(error));
		return STATUS_OTHER;
	}
	clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_sec += DECIDE_MS / 1000;
	pthread_mutex_lock(&registration.lock);
	while (!registration.decided && error == 0)
		error = pthread_cond_timedwait(&registration.decided_now,
					       &registration.lock, &deadline);
	if (registration.decided)
		status = registration.status;
	else
		describe(-ETIMEDOUT, 0);
	pthread_mutex_unlock(&registration.lock);
	return status;
}

void epmd_unpublish(void)
{
	pthread_mutex_lock(&registration.lock);
	registration.over = true;
	if (registration.fd >= 0)
		shutdown(registration.fd, SHUT_RDWR);
	pthread_mutex_unlock(&registration.lock);
}
