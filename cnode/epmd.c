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

#define ANSWER_MS 5000    /* for epmd to answer, at the start */
#define START_MS 10000    /* for an epmd that was started to be there */
#define NAME_FREE_MS 3000 /* for a node that has just ended to be forgotten */
#define RETRY_MS 50
#define REPUBLISH_MS 1000

/* The registration; the lock is for taking it back while the thread works. */
static struct {
	pthread_mutex_t lock;
	ei_cnode *node;
	int port;
	int fd;
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

/* EIO: epmd has answered, and does not want that name. */
static int publish_once(unsigned timeout_ms)
{
	int fd = timeout_ms ? ei_publish_tmo(registration.node,
					     registration.port, timeout_ms)
			    : ei_publish(registration.node, registration.port);

	if (fd < 0)
		return erl_errno ? -erl_errno : -EIO;
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	return fd;
}

static enum exit_status describe(int error, int start_error)
{
	if (error == -EIO) {
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
static enum exit_status publish_at_start(void)
{
	int64_t begin = clock_ms();
	bool started = false;
	int error, start_error = 0;

	for (;;) {
		registration.fd = error = publish_once(ANSWER_MS);
		if (error >= 0)
			return STATUS_OK;
		if (error == -ECONNREFUSED && !started) {
			log_info("starting an epmd");
			start_error = start_epmd();
			started = true;
		}
		if (start_error < 0 ||
		    (error != -EIO && error != -ECONNREFUSED) ||
		    clock_ms() - begin >
			    (error == -EIO ? NAME_FREE_MS : START_MS))
			return describe(error, start_error);
		sleep_ms(RETRY_MS);
	}
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

/*
 * Without a time limit of ei's, which would use select(2), and that writes
 * past its set for descriptors from 1,024 on. Only this thread waits.
 */
static int publish_again(void)
{
	int last_error = 0, fd;

	while ((fd = publish_once(0)) < 0) {
		if (fd != last_error)
			log_warning("not registered with epmd: %s; trying on",
				    fd == -EIO ? "the name is taken"
					       : strerror(-fd));
		last_error = fd;
		sleep_ms(REPUBLISH_MS);
	}
	return fd;
}

static void *watch(void *argument)
{
	int fd = registration.fd;

	(void)argument;
	for (;;) {
		wait_for_end(fd);
		if (!keep(-1))
			return NULL;
		close(fd);
		log_warning("epmd has gone; registering with the next one");
		sleep_ms(RETRY_MS);
		fd = publish_again();
		if (!keep(fd))
			return NULL;
		log_notice("registered with epmd again");
	}
}

enum exit_status epmd_publish(ei_cnode *node, int port)
{
	enum exit_status status;
	pthread_t thread;
	int error;

	registration.node = node;
	registration.port = port;
	status = publish_at_start();
	if (status != STATUS_OK)
		return status;
	error = pthread_create(&thread, NULL, watch, NULL);
	if (error) {
		log_error("no thread to watch epmd: %s", strerror(error));
		return STATUS_OTHER;
	}
	pthread_detach(thread);
	return STATUS_OK;
}

void epmd_unpublish(void)
{
	pthread_mutex_lock(&registration.lock);
	registration.over = true;
	if (registration.fd >= 0)
		shutdown(registration.fd, SHUT_RDWR);
	pthread_mutex_unlock(&registration.lock);
}
