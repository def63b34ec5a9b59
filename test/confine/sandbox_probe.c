/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tries what the C node may not do, from inside: links the node's own objects,
 * enters the sandbox by the function that the node enters it by, and does one
 * thing then, in a thread as those of connections are. The node itself has no
 * such hook. With --job it is the loader, or the child of it that has this job.
 *
 *	sandbox_probe [OPTION]... ACTION [ARGUMENT]
 *
 * Prints "ok" or the name of the error; unless the action was its end.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/bpf.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bpf/program_words.h"
#include "confine/privilege.h"
#include "confine/sandbox.h"
#include "host/cgroups.h"
#include "host/user.h"
#include "loader/loader_confine.h"

/* Returns -1 with errno where it fails. */
typedef long (*action)(const char *argument);

static long do_execve(const char *argument)
{
	(void)argument;
	return execl("/bin/echo", "echo", "executed", (char *)NULL);
}

static long do_fork(const char *argument)
{
	pid_t pid = fork();

	(void)argument;
	if (pid == 0)
		_exit(0);
	return pid < 0 ? -1 : waitpid(pid, NULL, 0);
}

static int end_at_once(void *argument)
{
	(void)argument;
	return 0;
}

/* With all flags seen, as seccomp sees them: for a thread or a process. */
static long do_clone(const char *flags)
{
	static char stack[65536] __attribute__((aligned(16)));

	return clone(end_at_once, stack + sizeof(stack),
		     (int)strtoul(flags, NULL, 0), NULL);
}

static long do_clone3(const char *flags)
{
	struct clone_args args = { .flags = strtoul(flags, NULL, 0),
				   .exit_signal = SIGCHLD };
	long pid = syscall(SYS_clone3, &args, sizeof(args));

	if (pid == 0)
		_exit(0);
	return pid;
}

static long do_ptrace(const char *pid)
{
	return ptrace(PTRACE_ATTACH, atoi(pid), NULL, NULL);
}

/* Memory of another: none is mapped there, which comes after who may. */
static long do_peek(const char *pid)
{
	char byte;
	struct iovec here = { &byte, 1 }, there = { NULL, 1 };

	return process_vm_readv(atoi(pid), &here, 1, &there, 1, 0);
}

static long do_read(const char *path)
{
	char byte;
	int fd = open(path, O_RDONLY);

	return fd < 0 ? -1 : read(fd, &byte, 1);
}

static long do_list(const char *path)
{
	DIR *folder = opendir(path);

	return folder && readdir(folder) ? 0 : -1;
}

static long do_create(const char *path)
{
	return open(path, O_WRONLY | O_CREAT, 0600);
}

static long do_unlink(const char *path)
{
	return unlink(path);
}

static long do_pin(const char *path)
{
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, NULL, 4, 4, 1, NULL);

	return fd < 0 || bpf_obj_pin(fd, path) < 0 ? -1 : 0;
}

static long do_map(const char *argument)
{
	int fd = bpf_map_create(BPF_MAP_TYPE_HASH, "probe", 4, 4, 1, NULL);
	int key = 1, value = 2;

	(void)argument;
	return fd < 0 || bpf_map_update_elem(fd, &key, &value, BPF_ANY) < 0 ||
			       bpf_map_lookup_elem(fd, &key, &value) < 0
		       ? -1
		       : 0;
}

static struct sockaddr_in loopback(const char *port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)atoi(port)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
}

static long do_connect(const char *port)
{
	struct sockaddr_in address = loopback(port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return connect(fd, (struct sockaddr *)&address, sizeof(address));
}

static long do_fast_open(const char *port)
{
	struct sockaddr_in address = loopback(port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return sendto(fd, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&address,
		      sizeof(address));
}

static long do_bind(const char *port)
{
	struct sockaddr_in address = loopback(port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return bind(fd, (struct sockaddr *)&address, sizeof(address));
}

static long do_make_code(const char *argument)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)argument;
	return mprotect(page, 4096, PROT_READ | PROT_EXEC);
}

/* As libc ends a process of which the heap or the stack is broken. */
static long do_abort(const char *argument)
{
	(void)argument;
	abort();
}

/* Any other call, by its number and those of its arguments, else zeros. */
static long do_syscall(const char *numbers)
{
	unsigned long n[7] = { 0 };
	char *rest;

	for (size_t i = 0; i < sizeof(n) / sizeof(n[0]) && *numbers; i++) {
		n[i] = strtoul(numbers, &rest, 0);
		numbers = rest;
	}
	return syscall((long)n[0], n[1], n[2], n[3], n[4], n[5], n[6]);
}

/* getpid, as programs of 32 bits make their calls. */
static long do_int80(const char *argument)
{
	long result = -1;

	(void)argument;
#ifdef __x86_64__
	__asm__ volatile("int $0x80" : "=a"(result) : "a"(20L) : "memory");
#endif
	return result;
}

static const struct {
	const char *name;
	action act;
} actions[] = {
	{ "execve", do_execve },   { "fork", do_fork },
	{ "clone", do_clone },     { "clone3", do_clone3 },
	{ "ptrace", do_ptrace },   { "peek", do_peek },
	{ "read", do_read },       { "list", do_list },
	{ "create", do_create },   { "unlink", do_unlink },
	{ "pin", do_pin },         { "map", do_map },
	{ "connect", do_connect }, { "fast_open", do_fast_open },
	{ "bind", do_bind },       { "make_code", do_make_code },
	{ "syscall", do_syscall }, { "int80", do_int80 },
	{ "abort", do_abort },
};

/* What is to be done, and the errno of it once the thread has come back. */
struct task {
	action act;
	const char *argument;
	int error;
	bool done;
};

static void *run(void *context)
{
	struct task *task = context;

	task->error = task->act(task->argument) < 0 ? errno : 0;
	task->done = true;
	return NULL;
}

static bool run_in_thread(struct task *task)
{
	pthread_t thread;

	return pthread_create(&thread, NULL, run, task) == 0 &&
	       pthread_join(thread, NULL) == 0 && task->done;
}

/* What is to be entered. */
struct place {
	struct sandbox sandbox;
	const char *job; /* NULL: the node's sandbox */
};

static bool enter_loader(const struct place *place)
{
	static const char *const jobs[] = {
		[LOADER_LOAD] = "load", [LOADER_INSTRUCTIONS] = "instructions",
		[LOADER_RUN] = "run",   [LOADER_ATTACH] = "attach",
		[LOADER_KEEP] = "keep", [LOADER_PERF] = "perf",
	};
	static struct user nobody_else;
	const struct loader_options options = {
		.words = (1u << PROGRAMS_WORDS) - 1,
		.user = &nobody_else,
		.no_sandbox = place->sandbox.off,
	};
	struct loader_confine confine;

	if (!loader_confine_self(&confine, &options))
		return false;
	for (unsigned i = 0; i < LOADER_JOBS; i++)
		if (strcmp(place->job, jobs[i]) == 0)
			return loader_confine_child(&confine,
						    (enum loader_job)i) == 0;
	return strcmp(place->job, "loader") == 0;
}

static void read_options(struct place *place, int argc, char *argv[])
{
	struct sandbox *sandbox = &place->sandbox;
	static const struct option options[] = {
		{ "cgroups", no_argument, NULL, 'c' },
		{ "epmd-port", required_argument, NULL, 'e' },
		{ "no-open-by-id", no_argument, NULL, 'i' },
		{ "job", required_argument, NULL, 'j' },
		{ "no-sandbox", no_argument, NULL, 'n' },
		{ "pin-root", required_argument, NULL, 'p' },
		{ "programs", no_argument, NULL, 'P' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	*place = (struct place){ .sandbox = { .pin_root = -1,
					      .netns_root = -1,
					      .keep = -1,
					      .cgroups = -1,
					      .epmd_port = 4369,
					      .open_by_id = true } };
	while ((c = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		if (c == 'c')
			sandbox->cgroups = cgroups_open();
		else if (c == 'e')
			sandbox->epmd_port = (uint16_t)atoi(optarg);
		else if (c == 'i')
			sandbox->open_by_id = false;
		else if (c == 'j')
			place->job = optarg;
		else if (c == 'P')
			sandbox->programs = true;
		else if (c == 'n')
			sandbox->off = true;
		else if (c == 'p')
			sandbox->pin_root =
				open(optarg, O_PATH | O_DIRECTORY | O_CLOEXEC);
		else
			exit(STATUS_USAGE);
	}
}

int main(int argc, char *argv[])
{
	struct task task = { .argument = "" };
	struct place place;
	const char *result;

	read_options(&place, argc, argv);
	for (size_t i = 0;
	     optind < argc && i < sizeof(actions) / sizeof(*actions); i++)
		if (strcmp(argv[optind], actions[i].name) == 0)
			task.act = actions[i].act;
	if (!task.act)
		return STATUS_USAGE;
	if (optind + 1 < argc)
		task.argument = argv[optind + 1];
	privilege_begin(!place.sandbox.off);
	if (place.job ? !enter_loader(&place)
		      : sandbox_enter(&place.sandbox) != STATUS_OK)
		return STATUS_OTHER;
	if (place.job) /* it has no threads, and may make none */
		run(&task);
	else if (!run_in_thread(&task))
		return STATUS_OTHER;
	result = task.error ? strerrorname_np(task.error) : "ok";
	/* stdio would make calls that not all of them may */
	if (!result)
		result = "unknown";
	_exit(write(STDOUT_FILENO, result, strlen(result)) < 0);
}
