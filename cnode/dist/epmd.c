/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registration with epmd, which lasts as long as the connection that ei
 * returns for it. A thread waits for its end and registers again. An epmd is
 * started only during the start of the node: later it runs no programs.
 */
#include "dist/epmd.h"

#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
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

#include "base/clock.h"
#include "base/log.h"
#include "base/patience.h"

#define DEFAULT_PORT 4369
#define PROBE_MS 1000     /* for a connection on this host */
#define START_MS 10000    /* for a new epmd to listen */
#define DECIDE_MS 15000   /* for the first registration to succeed or fail */
#define NAME_FREE_MS 3000 /* for epmd to forget a node that just ended */
#define RETRY_MS 50
#define WAIT_MS 5 /* between looks at a child that ends soon */
#define REPUBLISH_MS 1000
#define HELD_MS 5000      /* a registration that lasts this long is no flap */
#define QUIET_FLAPS 3     /* in a row, before they are no longer logged */
#define MAX_PAUSE_MS 5000 /* between flaps */
#define MAX_EXCESS 64     /* bytes: epmd's answer has two more than ei reads */

/* Shared with the thread, under the lock. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t decided_now;
	ei_cnode *node;
	int port;
	int fd;
	int refusal;  /* of the last attempt; 0: epmd has not answered */
	bool decided; /* the first registration has ended with status */
	enum exit_status status;
	bool unpublished;
} registration = { .lock = PTHREAD_MUTEX_INITIALIZER, .fd = -1 };

static void sleep_ms(int ms)
{
	poll(NULL, 0, ms);
}

uint16_t epmd_port(void)
{
	const char *text = getenv("ERL_EPMD_PORT");
	unsigned long port;
	char *end;

	if (!text)
		return DEFAULT_PORT;
	errno = 0;
	port = strtoul(text, &end, 10);
	return *text >= '0' && *text <= '9' && !*end && !errno &&
			       port <= UINT16_MAX
		       ? (uint16_t)port
		       : 0;
}

/* Checked here because ei and epmd read text as port 0, and 70000 as 4464. */
enum exit_status epmd_check_port(uint32_t own)
{
	uint16_t port = epmd_port();

	if (port == 0) {
		log_error("ERL_EPMD_PORT is '%s', which is not a port: set it "
			  "to a number from 1 to 65535, or unset it for %d",
			  getenv("ERL_EPMD_PORT"), DEFAULT_PORT);
		return STATUS_EPMD;
	}
	if (port == own) {
		log_error("--port %u is the port of epmd; choose another, or "
			  "leave it out to get a free one",
			  own);
		return STATUS_USAGE;
	}
	return STATUS_OK;
}

/* Whether nothing listens there. A listener may still not be an epmd. */
static bool is_refused(void)
{
	const struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons(epmd_port()),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct pollfd ready = { .fd = fd, .events = POLLOUT };
	socklen_t size = sizeof(int);
	int error = 0;

	if (fd < 0)
		return false;
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		error = errno;
	if (error == EINPROGRESS && poll(&ready, 1, PROBE_MS) > 0)
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
	close(fd);
	return error == ECONNREFUSED;
}

/*
 * `epmd -daemon' exits once its daemon runs. If it does not exit, the wait ends
 * when something listens, or after START_MS.
 */
static void await_daemon(pid_t pid)
{
	int64_t begin = clock_ms();
	bool logged = false;
	pid_t ended;

	while ((ended = waitpid(pid, NULL, WNOHANG)) == 0 ||
	       (ended < 0 && errno == EINTR)) {
		if (clock_ms() - begin > START_MS || !is_refused())
			return;
		if (!logged && clock_ms() - begin > PATIENCE_MS) {
			log_notice("waiting for `epmd -daemon' to exit");
			logged = true;
		}
		sleep_ms(WAIT_MS);
	}
}

/* Runs `epmd -daemon', as erl does: from PATH, else the one configure found. */
static int run_daemon(void)
{
	static char name[] = "epmd", daemon[] = "-daemon";
	char *arguments[] = { name, daemon, NULL };
	posix_spawnattr_t attributes;
	sigset_t none, all;
	int error;
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
	await_daemon(pid);
	return 0;
}

/*
 * -EEXIST: epmd refuses the name, for which ei returns -1 and EIO. Called
 * without ei's timeout, with which ei takes a refused connection for a good one
 * and uses select(2), which overruns its set for descriptors from 1024 on. Only
 * this file's thread waits here.
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

enum exit_status epmd_start(void)
{
	int error;

	if (!is_refused())
		return STATUS_OK;
	log_info("starting epmd");
	error = run_daemon();
	if (error == 0)
		return STATUS_OK;
	log_error("no epmd on port %u, and none could be started: %s; install "
		  "Erlang's epmd, or add it to PATH",
		  epmd_port(), strerror(-error));
	return STATUS_EPMD;
}

static enum exit_status describe(int error)
{
	if (error == -EEXIST) {
		log_error("the name %s is taken: another node of that name is "
			  "registered with epmd; stop it, or use --sname",
			  registration.node->thisalivename);
		return STATUS_NAME_TAKEN;
	}
	log_error("no epmd on port %u answers: %s; look at `epmd -names', "
		  "ERL_EPMD_PORT and ERL_EPMD_ADDRESS",
		  epmd_port(), strerror(-error));
	return STATUS_EPMD;
}

/* Retries while an epmd is starting, or has yet to forget an ended node. */
static enum exit_status publish_first(int *fd)
{
	int64_t begin = clock_ms();
	bool logged = false;

	for (;;) {
		*fd = publish();
		pthread_mutex_lock(&registration.lock);
		registration.refusal = *fd < 0 ? *fd : 0;
		pthread_mutex_unlock(&registration.lock);
		if (*fd >= 0)
			return STATUS_OK;
		if (*fd == -EEXIST && !logged)
			log_info("the name %s is taken; waiting up to %d ms, "
				 "in case its node is ending",
				 registration.node->thisalivename,
				 NAME_FREE_MS);
		logged |= *fd == -EEXIST;
		if ((*fd != -EEXIST && *fd != -ECONNREFUSED) ||
		    clock_ms() - begin >
			    (*fd == -EEXIST ? NAME_FREE_MS : START_MS))
			return describe(*fd);
		sleep_ms(RETRY_MS);
	}
}

static int publish_again(void)
{
	int last_error = 0, fd;

	while ((fd = publish()) < 0) {
		if (fd != last_error)
			log_warning("not registered with epmd: %s; retrying",
				    fd == -EEXIST ? "the name is taken"
						  : strerror(-fd));
		last_error = fd;
		sleep_ms(REPUBLISH_MS);
	}
	return fd;
}

static void log_registered(void)
{
	log_notice("registered with epmd again");
}

static bool is_readable(int fd, int timeout_ms)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	int n;

	do {
		n = poll(&ready, 1, timeout_ms);
	} while (n < 0 && errno == EINTR);
	return n != 0;
}

/*
 * Waits for the end of a registration: epmd closes the connection, or sends
 * more than an epmd would. Returns whether the registration lasted; if it does
 * and is_news, it is logged.
 */
static bool hold(int fd, bool is_news)
{
	char bytes[MAX_EXCESS];
	bool held = false;
	ssize_t excess = 0, n = 1;

	while (n > 0 && excess <= MAX_EXCESS) {
		if (is_readable(fd, held ? -1 : HELD_MS)) {
			n = recv(fd, bytes, sizeof(bytes), 0);
			excess += n;
		} else {
			held = true;
			if (is_news)
				log_registered();
		}
	}
	return held;
}

/* Backs off from something that is not an epmd, or drops each registration. */
static void pause_after(unsigned flaps)
{
	int pause = flaps < 7 ? RETRY_MS << flaps : MAX_PAUSE_MS;

	if (flaps < QUIET_FLAPS)
		log_warning("epmd is gone; registering with the next one");
	else if (flaps == QUIET_FLAPS)
		log_warning("epmd on port %u ends each registration within %d "
			    "s; retrying at most every %d s, and logging when "
			    "one lasts",
			    epmd_port(), HELD_MS / 1000, MAX_PAUSE_MS / 1000);
	sleep_ms(pause);
}

static void decide(enum exit_status status)
{
	pthread_mutex_lock(&registration.lock);
	registration.decided = true;
	registration.status = status;
	pthread_cond_signal(&registration.decided_now);
	pthread_mutex_unlock(&registration.lock);
}

/* False: epmd_unpublish() was called. */
static bool keep(int fd)
{
	bool wanted;

	pthread_mutex_lock(&registration.lock);
	wanted = !registration.unpublished;
	registration.fd = fd;
	pthread_mutex_unlock(&registration.lock);
	return wanted;
}

static void *stay_registered(void *unused)
{
	int fd = -1;
	enum exit_status status = publish_first(&fd);
	unsigned flaps = 0; /* registrations in a row that did not last */

	(void)unused;
	keep(fd);
	decide(status);
	while (status == STATUS_OK) {
		flaps = hold(fd, flaps >= QUIET_FLAPS) ? 0 : flaps + 1;
		if (!keep(-1))
			break;
		close(fd);
		pause_after(flaps);
		fd = publish_again();
		if (!keep(fd))
			break;
		if (flaps < QUIET_FLAPS)
			log_registered();
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
	/* the main thread takes the signals */
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	error = pthread_create(&thread, NULL, stay_registered, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error == 0)
		pthread_detach(thread);
	return error;
}

/* With the lock held. */
static void await_decision(int64_t ms)
{
	struct timespec deadline;
	int error = 0;

	clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_sec += ms / 1000;
	while (!registration.decided && error == 0)
		error = pthread_cond_timedwait(&registration.decided_now,
					       &registration.lock, &deadline);
}

/* With the lock held. */
static void log_wait(void)
{
	static const struct {
		int refusal;
		const char *what;
	} table[] = {
		{ 0, "to answer" },
		{ -ECONNREFUSED, "to listen" },
		{ -EEXIST, "to forget another node of this name" },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (table[i].refusal == registration.refusal)
			log_notice("waiting for epmd on port %u %s",
				   epmd_port(), table[i].what);
}

enum exit_status epmd_publish(ei_cnode *node, int port)
{
	enum exit_status status = STATUS_EPMD;
	int error;

	registration.node = node;
	registration.port = port;
	error = start_thread();
	if (error) {
		log_error("no thread to register with epmd: %s",
			  strerror(error));
		return STATUS_OTHER;
	}
	pthread_mutex_lock(&registration.lock);
	await_decision(PATIENCE_MS);
	if (!registration.decided) {
		log_wait();
		await_decision(DECIDE_MS - PATIENCE_MS);
	}
	if (registration.decided)
		status = registration.status;
	else
		describe(-ETIMEDOUT);
	pthread_mutex_unlock(&registration.lock);
	return status;
}

void epmd_unpublish(void)
{
	pthread_mutex_lock(&registration.lock);
	registration.unpublished = true;
	if (registration.fd >= 0)
		shutdown(registration.fd, SHUT_RDWR);
	pthread_mutex_unlock(&registration.lock);
}
