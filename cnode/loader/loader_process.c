/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loader's loop: forks a child for each request, ends those whose time is
 * up, and tells how they ended. It opens no object and makes no kernel object
 * itself.
 */
#include "loader/loader_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "loader/loader_child.h"
#include "loader/loader_confine.h"
#include "loader/loader_message.h"

#define REAP_MS 2000 /* a killed child may be in the kernel for so long */

struct slot {
	int fd;
	uint64_t serial;
	pid_t child; /* 0: none, or forgotten */
	int64_t deadline;
	bool killed;
	bool keeps; /* the child is a keeper */
	int answer; /* then the node's end of its answer; -1: none */
};

struct process {
	const struct loader_options *options;
	struct loader_confine confine;
	struct slot *slots;
	struct pollfd *ready; /* the slots, then the signals */
	unsigned count;
	unsigned children; /* that have not ended, forgotten ones too */
	pid_t pid;
};

/* --- Children ----------------------------------------------------------- */

static void say(const struct slot *slot, enum loader_message_type type,
		enum loader_end end, unsigned signal)
{
	const struct loader_message message = {
		.serial = slot->serial,
		.type = type,
		.end = end,
		.signal = signal,
	};

	loader_message_send(slot->fd, &message, NULL, NULL, false);
}

static void close_answer(struct slot *slot)
{
	if (slot->answer >= 0)
		close(slot->answer);
	slot->answer = -1;
}

/*
 * A keeper notices that its answer has no reader: it detaches then, which it
 * could not if it were killed. But the node's end may be on its way to a node
 * that does not look there any more, with the whole answer in it.
 */
static void refuse_answer(struct slot *slot)
{
	struct loader_message message;
	struct loader_parcel parcel;
	ssize_t n = slot->answer < 0 ? -EPIPE : 0;

	if (n == 0)
		shutdown(slot->answer, SHUT_RDWR);
	/* parts are longer than this, and closed as such */
	while (n >= 0 || n == -EPROTO || n == -EMFILE) {
		n = loader_message_receive(slot->answer, &message, NULL, 0,
					   &parcel);
		loader_parcel_close(&parcel);
	}
	close_answer(slot);
}

static void end_child(struct slot *slot)
{
	if (slot->child > 0 && !slot->keeps)
		kill(slot->child, SIGKILL);
	slot->child = 0;
	refuse_answer(slot);
}

static void say_how(const struct slot *slot, int status)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		say(slot, LOADER_ENDED, LOADER_END_EXITED, 0);
	else if (slot->killed ||
		 (WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU))
		say(slot, LOADER_ENDED, LOADER_END_TIMEOUT, 0);
	else
		say(slot, LOADER_ENDED, LOADER_END_KILLED,
		    WIFSIGNALED(status) ? (unsigned)WTERMSIG(status) : 0);
}

/* Forgotten ones need no word. */
static void reap(struct process *process)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		process->children--;
		for (unsigned i = 0; i < process->count; i++) {
			if (process->slots[i].child != pid)
				continue;
			say_how(&process->slots[i], status);
			process->slots[i].child = 0;
			close_answer(&process->slots[i]);
		}
	}
}

static void keep_time(struct slot *slot, int64_t now)
{
	if (slot->child == 0 || now < slot->deadline)
		return;
	if (!slot->killed && !slot->keeps) {
		kill(slot->child, SIGKILL);
		slot->killed = true;
		slot->deadline = now + REAP_MS;
		return;
	}
	say(slot, LOADER_ENDED, LOADER_END_TIMEOUT, 0);
	slot->child = 0;
	refuse_answer(slot);
}

/* --- Requests ----------------------------------------------------------- */

static void start_child(struct process *process, struct slot *slot,
			const struct loader_message *message,
			const struct loader_parcel *parcel, int socket)
{
	const struct loader_task task = {
		.options = process->options,
		.confine = &process->confine,
		.message = message,
		.parcel = parcel,
		.socket = socket,
		.loader = process->pid,
	};
	pid_t child = fork();

	if (child == 0)
		loader_child_run(&task);
	if (child < 0)
		return;
	process->children++;
	slot->child = child;
	slot->killed = false;
	slot->keeps = message->job == LOADER_KEEP;
	slot->deadline =
		clock_ms() +
		INT64_C(1000) * loader_seconds(process->options, message->job);
}

static int say_started(const struct slot *slot, int socket)
{
	const struct loader_message message = {
		.serial = slot->serial,
		.type = LOADER_STARTED,
		.fd_count = 1,
	};

	return loader_message_send(slot->fd, &message, NULL, &socket, false);
}

/* Slots bound all children but keepers. */
static bool has_room(const struct process *process, uint32_t job)
{
	return job != LOADER_KEEP ||
	       process->children <
		       process->count + process->options->max_keepers;
}

static void serve_request(struct process *process, struct slot *slot,
			  const struct loader_message *message,
			  const struct loader_parcel *parcel)
{
	int ends[2];

	end_child(slot);
	slot->serial = message->serial;
	if (message->job >= LOADER_JOBS || parcel->fd_count == 0 ||
	    !has_room(process, message->job) ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
		say(slot, LOADER_ENDED, LOADER_END_NO_MEMORY, 0);
		return;
	}
	start_child(process, slot, message, parcel, ends[1]);
	close(ends[1]);
	if (slot->child > 0 && say_started(slot, ends[0]) < 0)
		end_child(slot);
	if (slot->child == 0)
		say(slot, LOADER_ENDED, LOADER_END_NO_MEMORY, 0);
	if (slot->child > 0 && slot->keeps)
		slot->answer = ends[0];
	else
		close(ends[0]);
}

/* It has ended, or stays without us: waited for, and no more. */
static void let_go(struct slot *slot)
{
	if (slot->child == 0 || !slot->keeps)
		return;
	slot->child = 0;
	close_answer(slot);
	say(slot, LOADER_ENDED, LOADER_END_EXITED, 0);
}

/* False at its end: the node's. */
static bool serve(struct process *process, struct slot *slot)
{
	struct loader_message message;
	struct loader_parcel parcel;
	ssize_t n =
		loader_message_receive(slot->fd, &message, NULL, 0, &parcel);

	if (n < 0)
		return n == -EAGAIN || n == -EMFILE;
	if (message.type == LOADER_REQUEST)
		serve_request(process, slot, &message, &parcel);
	else if (message.type == LOADER_CANCEL &&
		 message.serial == slot->serial)
		end_child(slot);
	else if (message.type == LOADER_LET_GO &&
		 message.serial == slot->serial)
		let_go(slot);
	loader_parcel_close(&parcel);
	return true;
}

static int wait_ms(const struct process *process)
{
	int64_t first = INT64_MAX, now = clock_ms();

	for (unsigned i = 0; i < process->count; i++)
		if (process->slots[i].child > 0 &&
		    process->slots[i].deadline < first)
			first = process->slots[i].deadline;
	return first == INT64_MAX ? -1 : first <= now ? 0 : (int)(first - now);
}

static void run(struct process *process)
{
	struct pollfd *signals = &process->ready[process->count];
	struct signalfd_siginfo signal;

	for (;;) {
		poll(process->ready, process->count + 1, wait_ms(process));
		if (signals->revents &&
		    read(signals->fd, &signal, sizeof(signal)) > 0)
			reap(process);
		for (unsigned i = 0; i < process->count; i++) {
			if (process->ready[i].revents &&
			    !serve(process, &process->slots[i]))
				return;
			keep_time(&process->slots[i], clock_ms());
		}
	}
}

/* --- The start ---------------------------------------------------------- */

/* It ends with the node, and by nothing that is sent to all its processes. */
static int open_signals(void)
{
	static const int ignored[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1 };
	sigset_t set;

	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -1;
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static bool open_process(struct process *process, const int *ends)
{
	int *keep = malloc(process->count * sizeof(*keep));
	int signals;

	process->slots = calloc(process->count, sizeof(*process->slots));
	process->ready = calloc(process->count + 1, sizeof(*process->ready));
	if (!keep || !process->slots || !process->ready)
		return false;
	memcpy(keep, ends, process->count * sizeof(*keep));
	loader_confine_fds(keep, process->count);
	free(keep);
	signals = open_signals();
	for (unsigned i = 0; i < process->count; i++) {
		process->slots[i].fd = ends[i];
		process->slots[i].answer = -1;
		process->ready[i] =
			(struct pollfd){ .fd = ends[i], .events = POLLIN };
	}
	process->ready[process->count] =
		(struct pollfd){ .fd = signals, .events = POLLIN };
	return signals >= 0;
}

/* Standard input may hold the cookie. */
static int close_input(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0 || dup2(null, STDIN_FILENO) < 0 ||
	    dup2(null, STDOUT_FILENO) < 0)
		return -1;
	return null;
}

_Noreturn void loader_process_run(const struct loader_options *options,
				  const int *ends, pid_t node)
{
	struct process process = { .options = options,
				   .count = options->max_loads,
				   .pid = getpid() };

	int null;

	prctl(PR_SET_NAME, "ebpf_loader");
	if (!open_process(&process, ends))
		_exit(1);
	null = close_input();
	if (null < 0 || !loader_confine_self(&process.confine, options) ||
	    getppid() != node)
		_exit(1);
	/* from here on, what there is to say is said to the node */
	dup3(null, STDERR_FILENO, 0);
	close(null);
	say(&process.slots[0], LOADER_READY, 0, 0);
	run(&process);
	for (unsigned i = 0; i < process.count; i++)
		end_child(&process.slots[i]);
	_exit(0);
}
