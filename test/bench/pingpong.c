/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The least that a round trip between two processes on two cores costs: a
 * request and an answer of given sizes over TCP loopback, with blocking calls,
 * each end pinned to its own core. Knows nothing of Erlang.
 *
 *	pingpong REQUEST ANSWER ROUNDS	sizes in bytes
 *
 * prints how long all the rounds took, in nanoseconds, and the two cores.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DEADLINE 120 /* seconds in all */
#define MAX_SIZE ((size_t)1024 * 1024)
#define WARM_UP 100 /* rounds before those measured */

static char bytes[MAX_SIZE];

/* The first two cores that we may use; the same one twice if it is the only
 * one. */
static void choose_cores(int cores[2])
{
	cpu_set_t allowed;
	int found = 0;

	if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0)
		err(1, "sched_getaffinity");
	for (int i = 0; i < CPU_SETSIZE && found < 2; i++) {
		if (CPU_ISSET(i, &allowed))
			cores[found++] = i;
	}
	if (found < 2)
		cores[1] = cores[0];
}

static void pin(int core)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(core, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		err(1, "sched_setaffinity to core %d", core);
}

/* False if the other end disconnects before the first byte. */
static bool receive(int s, size_t size)
{
	size_t got = 0;
	ssize_t n;

	while (got < size) {
		n = read(s, bytes + got, size - got);
		if (n < 0)
			err(1, "read");
		if (n == 0 && got == 0)
			return false;
		if (n == 0)
			errx(1, "the other end has disconnected");
		got += (size_t)n;
	}
	return true;
}

static void send_all(int s, size_t size)
{
	size_t sent = 0;
	ssize_t n;

	while (sent < size) {
		n = write(s, bytes + sent, size - sent);
		if (n < 0)
			err(1, "write");
		sent += (size_t)n;
	}
}

static void no_delay(int s)
{
	int on = 1;

	if (setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
		err(1, "TCP_NODELAY");
}

static int listen_here(struct sockaddr_in *address)
{
	socklen_t size = sizeof(*address);
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memset(address, 0, sizeof(*address));
	address->sin_family = AF_INET;
	address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (s < 0 || bind(s, (struct sockaddr *)address, size) < 0 ||
	    listen(s, 1) < 0 ||
	    getsockname(s, (struct sockaddr *)address, &size) < 0)
		err(1, "listening on 127.0.0.1");
	return s;
}

/* The other end: answers until its peer disconnects. */
static void answer(int listener, int core, size_t request_size,
		   size_t answer_size)
{
	int s;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		err(1, "prctl");
	(void)alarm(DEADLINE);
	pin(core);
	s = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (s < 0)
		err(1, "accept4");
	no_delay(s);
	while (receive(s, request_size))
		send_all(s, answer_size);
	exit(0);
}

static void ask(int s, unsigned long rounds, size_t request_size,
		size_t answer_size)
{
	for (unsigned long i = 0; i < rounds; i++) {
		send_all(s, request_size);
		if (!receive(s, answer_size))
			errx(1, "no answer");
	}
}

static uint64_t now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static unsigned long number(const char *text, unsigned long most)
{
	char *end;
	unsigned long n;

	errno = 0;
	n = strtoul(text, &end, 10);
	if (errno || *end || end == text || n < 1 || n > most)
		errx(2, "no number from 1 to %lu: %s", most, text);
	return n;
}

int main(int argc, char **argv)
{
	size_t request_size, answer_size;
	struct sockaddr_in address;
	unsigned long rounds;
	int cores[2], listener, s, status;
	uint64_t start, took;
	pid_t child;

	if (argc != 4)
		errx(2, "usage: pingpong REQUEST ANSWER ROUNDS");
	request_size = number(argv[1], MAX_SIZE);
	answer_size = number(argv[2], MAX_SIZE);
	rounds = number(argv[3], 100000000);
	(void)alarm(DEADLINE);
	choose_cores(cores);
	listener = listen_here(&address);
	child = fork();
	if (child < 0)
		err(1, "fork");
	if (child == 0)
		answer(listener, cores[1], request_size, answer_size);
	pin(cores[0]);
	s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s < 0 ||
	    connect(s, (struct sockaddr *)&address, sizeof(address)) < 0)
		err(1, "connect");
	no_delay(s);
	ask(s, WARM_UP, request_size, answer_size);
	start = now();
	ask(s, rounds, request_size, answer_size);
	took = now() - start;
	(void)close(s);
	if (waitpid(child, &status, 0) < 0 || status != 0)
		errx(1, "the other end failed");
	printf("%llu %d %d\n", (unsigned long long)took, cores[0], cores[1]);
	return 0;
}
