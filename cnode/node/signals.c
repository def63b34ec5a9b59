/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which signals end this process, which it serves, and which it ignores. The
 * others keep their default action: SIGQUIT from the keyboard, SIGXCPU from a
 * CPU limit and SIGALRM from an alarm set before exec(2) are meant to kill, and
 * SIGTSTP and SIGTTIN belong to the user at the terminal.
 */
#include "node/signals.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/exit_status.h"

enum fate {
	ENDS,
	SERVED, /* since signals_open(); ignored before */
	IGNORED,
};

static const struct {
	int number;
	enum fate fate;
} table[] = {
	{ SIGTERM, ENDS },
	{ SIGINT, ENDS },
	{ SIGHUP, ENDS }, /* but not behind nohup(1); or served: reloads */
	{ SIGUSR1, SERVED },
	{ SIGUSR2, IGNORED },
	{ SIGPIPE, IGNORED }, /* write(2) returns EPIPE, */
	{ SIGXFSZ, IGNORED }, /* or EFBIG */
	{ SIGTTOU, IGNORED }, /* logging must not stop the process */
	/* timers and events that this process never asked for */
	{ SIGVTALRM, IGNORED },
	{ SIGPROF, IGNORED },
	{ SIGIO, IGNORED },
	{ SIGPWR, IGNORED },
	{ SIGSTKFLT, IGNORED },
};

static bool reloads; /* as signals_open() was called */

#define ROWS (sizeof(table) / sizeof(table[0]))

static bool is_sighup_ignored(void)
{
	struct sigaction action;

	return sigaction(SIGHUP, NULL, &action) == 0 &&
	       action.sa_handler == SIG_IGN;
}

/* Before signals_open() there is nothing to clean up. */
static void end_at_once(int number)
{
	(void)number;
	_exit(STATUS_OK);
}

void signals_begin(void)
{
	const struct sigaction at_once = { .sa_handler = end_at_once },
			       ignore = { .sa_handler = SIG_IGN };

	for (size_t i = 0; i < ROWS; i++)
		if (table[i].number != SIGHUP || !is_sighup_ignored())
			sigaction(table[i].number,
				  table[i].fate == ENDS ? &at_once : &ignore,
				  NULL);
	for (int number = SIGRTMIN; number <= SIGRTMAX; number++)
		sigaction(number, &ignore, NULL);
}

/* A blocked signal that is ignored is dropped: the default action is not. */
static void serve_sighup(void)
{
	const struct sigaction taken = { .sa_handler = end_at_once };

	sigaction(SIGHUP, &taken, NULL);
	reloads = true;
}

int signals_open(bool reload)
{
	sigset_t set;

	if (reload)
		serve_sighup();
	sigemptyset(&set);
	for (size_t i = 0; i < ROWS; i++)
		if (table[i].fate != IGNORED &&
		    (table[i].number != SIGHUP || !is_sighup_ignored()))
			sigaddset(&set, table[i].number);
	errno = pthread_sigmask(SIG_BLOCK, &set, NULL);
	return errno ? -1 : signalfd(-1, &set, SFD_CLOEXEC);
}

bool signals_ends(uint32_t number)
{
	if (number == SIGHUP && reloads)
		return false;
	for (size_t i = 0; i < ROWS; i++)
		if ((uint32_t)table[i].number == number)
			return table[i].fate == ENDS;
	return false;
}
