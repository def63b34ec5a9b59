/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Our registration with epmd, which lasts as long as the descriptor that ei
 * returns for it: a thread waits for its end and registers anew. An epmd is
 * started only at the start: later this process runs no programs.
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
#define START_MS 10000    /* for an epmd that was started to be there */
#define DECIDE_MS 15000   /* for the first registration, one way or another */
#define NAME_FREE_MS 3000 /* for a node that has just ended to be forgotten */
#define RETRY_MS 50
#define WAIT_MS 5 /* for what ends within milliseconds */
#define REPUBLISH_MS 1000
#define HELD_MS 5000      /* what has lasted so long is no flap */
#define QUIET_FLAPS 3     /* in a row, from which on they are not logged */
#define MAX_PAUSE_MS 5000 /* between flaps */
#define MAX_SAID 64       /* bytes: epmd's answer has two more than ei reads */

/* What the thread and the rest share, under the lock. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t decided_now;
	ei_cnode *node;
	int port;
	int fd;
	int refusal;  /* of the last try, or 0 while epmd says nothing */
	bool decided; /* the first registration has come to status */
	enum exit_status status;
	bool over;
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

/* ei and epmd take anything: text for port 0, and 70000 for 4464. */
enum exit_status epmd_check_port(uint32_t own)
{
	uint16_t port = epmd_port();

	if (port == 0) {
		log_error("ERL_EPMD_PORT is '%s', which is no port: it is to "
			  "be a number from 1 to 65535, or not to be set for "
			  "%d",
			  getenv("ERL_EPMD_PORT"), DEFAULT_PORT);
		return STATUS_EPMD;
	}
	if (port == own) {
		log_error("--port %u: it is the port of epmd; choose another, "
			  "or go without for any that is free",
			  own);
		return STATUS_USAGE;
	}
	return STATUS_OK;
}

/* Whether nothing listens there; what does, shows what it is later. */
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
 * `epmd -daemon' ends once its daemon runs. What does not is not waited for
 * where it listens all the same, nor for ever where it does not.
 */
static void await_daemon(pid_t pid)
{
	int64_t begin = clock_ms();
	bool told = false;
	pid_t ended;

	while ((ended = waitpid(pid, NULL, WNOHANG)) == 0 ||
	       (ended < 0 && errno == EINTR)) {
		if (clock_ms() - begin > START_MS || !is_refused())
			return;
		if (!told && clock_ms() - begin > PATIENCE_MS) {
			log_notice("waiting for `epmd -daemon' to end");
			told = true;
		}
		sleep_ms(WAIT_MS);
	}
}

/* As erl does: `epmd -daemon', by PATH or from where the build found it. */
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

enum exit_status epmd_start(void)
{
	int error;

	if (!is_refused())
		return STATUS_OK;
	log_info("starting an epmd");
	error = run_daemon();
	if (error == 0)
		return STATUS_OK;
	log_error("no epmd on port %u, and none could be started: %s; install "
		  "Erlang's epmd, or set PATH",
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

/* Bears with an epmd just started, and with a name just given up. */
static enum exit_status publish_first(int *fd)
{
	int64_t begin = clock_ms();
	bool told = false;

	for (;;) {
		*fd = publish();
		pthread_mutex_lock(&registration.lock);
		registration.refusal = *fd < 0 ? *fd : 0;
		pthread_mutex_unlock(&registration.lock);
		if (*fd >= 0)
			return STATUS_OK;
		if (*fd == -EEXIST && !told)
			log_info("the name %s is taken; waiting up to %d ms "
				 "for a node that is ending to give it up",
				 registration.node->thisalivename,
				 NAME_FREE_MS);
		told |= *fd == -EEXIST;
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
			log_warning("not registered with epmd: %s; trying on",
				    fd == -EEXIST ? "the name is taken"
						  : strerror(-fd));
		last_error = fd;
		sleep_ms(REPUBLISH_MS);
	}
	return fd;
}

static void say_registered(void)
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
 * Waits for the end of a registration: epmd hangs up, or says more than any
 * epmd does. Whether it had held for a while, which is told where it is news.
 */
static bool hold(int fd, bool is_news)
{
	char bytes[MAX_SAID];
	bool held = false;
	ssize_t said = 0, n = 1;

	while (n > 0 && said <= MAX_SAID) {
		if (is_readable(fd, held ? -1 : HELD_MS)) {
			n = recv(fd, bytes, sizeof(bytes), 0);
			said += n;
		} else {
			held = true;
			if (is_news)
				say_registered();
		}
	}
	return held;
}

/* What is no epmd, or one that ends each time, is asked ever less often. */
static void pause_after(unsigned flaps)
{
	int pause = flaps < 7 ? RETRY_MS << flaps : MAX_PAUSE_MS;

	if (flaps < QUIET_FLAPS)
		log_warning("epmd has gone; registering with the next one");
	else if (flaps == QUIET_FLAPS)
		log_warning("epmd on port %u ends each registration within %d "
			    "s; trying on, at most every %d s, and telling "
			    "when one holds",
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
	unsigned flaps = 0; /* registrations in a row that did not hold */

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
			say_registered();
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

/* With the lock. */
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

/* With the lock. */
static void say_what_is_waited_for(void)
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
		say_what_is_waited_for();
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
	registration.over = true;
	if (registration.fd >= 0)
		shutdown(registration.fd, SHUT_RDWR);
	pthread_mutex_unlock(&registration.lock);
}
