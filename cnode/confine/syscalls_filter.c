/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs during the build, on the machine that builds: makes the filters of
 * seccomp(2) from the tables below, by libseccomp, for the machine that the
 *node will run on, and prints them as C for syscalls.c. They are not made when
 *the node starts because libseccomp crashes when it is short of memory, or
 *silently leaves rules out.
 *
 *	syscalls_filter [MACHINE]	as libseccomp names it; this one
 *
 * Any call that is not in these tables kills the process, so each new one needs
 * its row here. `strace -f' shows which call it was, and so does the kernel's
 * audit log.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define MAX_CONDITIONS 3
#define API_LEVEL 3 /* knows SCMP_ACT_KILL_PROCESS, see seccomp_api_set(3) */

struct rule {
	int number;
	unsigned conditions;
	struct scmp_arg_cmp condition[MAX_CONDITIONS];
};

/* a call, and the number of conditions on its arguments */
#define CALL(name, count, ...)                                                 \
	{                                                                      \
		SCMP_SYS(name), count,                                         \
		{                                                              \
			__VA_ARGS__                                            \
		}                                                              \
	}
/* among the bits of mask, exactly those of value are set */
#define BITS(argument, mask, value)                                            \
	{                                                                      \
		argument, SCMP_CMP_MASKED_EQ, mask, value                      \
	}
/* the upper half of a register that holds an int is undefined */
#define INT_BITS 0xffffffffull
#define INT(argument, value) BITS(argument, INT_BITS, value)
#define NO_POINTER(argument)                                                   \
	{                                                                      \
		argument, SCMP_CMP_EQ, 0, 0                                    \
	}

#define NAMESPACES                                                             \
	((uint64_t)(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS |             \
		    CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |              \
		    CLONE_NEWNET))
#define STREAM_FLAGS ((uint64_t)(SOCK_CLOEXEC | SOCK_NONBLOCK))
#define OF_STREAM BITS(1, INT_BITS & ~STREAM_FLAGS, SOCK_STREAM)

static const struct rule rules[] = {
	/* every request */
	CALL(recvfrom, 0),
	CALL(futex, 0),
	CALL(poll, 0),
	/* only to the peer: TCP fast open would get past Landlock */
	CALL(sendto, 2, NO_POINTER(4), BITS(3, MSG_FASTOPEN, 0)),

	/* connections */
	CALL(accept4, 0),
	CALL(shutdown, 0),
	CALL(getpeername, 0),
	CALL(setsockopt, 2, INT(1, SOL_SOCKET), INT(2, SO_RCVTIMEO)),
	CALL(setsockopt, 2, INT(1, SOL_SOCKET), INT(2, SO_SNDTIMEO)),
	CALL(setsockopt, 2, INT(1, IPPROTO_TCP), INT(2, TCP_NODELAY)),
	CALL(getsockopt, 2, INT(1, IPPROTO_TCP), INT(2, TCP_INFO)),
	/* ei, for a challenge */
	CALL(uname, 0),
	CALL(getpid, 0),
	CALL(getuid, 0),
	CALL(getgid, 0),

	/* epmd, and the index of an interface */
	CALL(socket, 3, INT(0, AF_INET), OF_STREAM, INT(2, 0)),
	CALL(connect, 0),
	CALL(setsockopt, 2, INT(1, SOL_SOCKET), INT(2, SO_BINDTODEVICE)),
	CALL(getsockopt, 2, INT(1, SOL_SOCKET), INT(2, SO_BINDTOIFINDEX)),
	CALL(fcntl, 1, INT(1, F_SETFD)),

	/* files, as far as Landlock allows */
	CALL(openat, 0),
	CALL(openat2, 0),
	CALL(read, 0),
	CALL(write, 0),
	CALL(close, 0),
	CALL(fstat, 0),
	CALL(newfstatat, 0),
	CALL(statfs, 0),
	CALL(fstatfs, 0),
	CALL(getdents64, 0),
	CALL(readlink, 0),
	CALL(lseek, 0), /* fclose(3) before the end of a file */
	CALL(unlink, 0),
	/* the same for machines without the older calls */
	CALL(ppoll, 0),
	CALL(readlinkat, 0),
	CALL(unlinkat, 0),
	/* processes as keys */
	CALL(pidfd_open, 0),

	/* threads, but neither processes nor namespaces; clone3: see build() */
	CALL(clone, 1, BITS(0, CLONE_THREAD | NAMESPACES, CLONE_THREAD)),
	CALL(set_robust_list, 0),
	CALL(rseq, 0),
	CALL(rt_sigprocmask, 0),
	CALL(exit, 0),
	CALL(sysinfo, 0), /* qsort(3), to choose its memory */

	/* memory, but no code */
	CALL(brk, 0),
	CALL(mmap, 1, BITS(2, PROT_EXEC, 0)),
	CALL(mprotect, 1, BITS(2, PROT_EXEC, 0)),
	CALL(mremap, 0),
	CALL(munmap, 0),
	CALL(madvise, 0),

	/* clocks that the vDSO does not have; poll(2) after a SIGSTOP */
	CALL(clock_gettime, 0),
	CALL(gettimeofday, 0),
	CALL(restart_syscall, 0),
	CALL(getrandom, 0),

	/* the end: by a signal, or by abort(3) of libc with its message */
	CALL(signalfd4, 0),
	CALL(rt_sigaction, 0),
	CALL(exit_group, 0),
	CALL(gettid, 0),
	CALL(tgkill, 1, INT(2, SIGABRT)),
	CALL(writev, 0),
};

/* The commands of bpf(2), the commonest first. Programs are not loaded. */
static const struct {
	enum bpf_cmd command;
	bool by_id;
} commands[] = {
	{ BPF_MAP_LOOKUP_ELEM, false },
	{ BPF_MAP_UPDATE_ELEM, false },
	{ BPF_MAP_DELETE_ELEM, false },
	{ BPF_MAP_LOOKUP_AND_DELETE_ELEM, false },
	{ BPF_MAP_GET_NEXT_KEY, false },
	{ BPF_MAP_LOOKUP_BATCH, false },
	{ BPF_MAP_LOOKUP_AND_DELETE_BATCH, false },
	{ BPF_MAP_UPDATE_BATCH, false },
	{ BPF_MAP_CREATE, false },
	{ BPF_OBJ_GET_INFO_BY_FD, false },
	{ BPF_BTF_LOAD, false }, /* types of keys and values, for new storage */
	{ BPF_MAP_FREEZE, false },
	{ BPF_OBJ_PIN, false },
	{ BPF_OBJ_GET, false },
	{ BPF_MAP_GET_FD_BY_ID, true },
	{ BPF_MAP_GET_NEXT_ID, true },
};

static int add_commands(scmp_filter_ctx filter, bool open_by_id)
{
	int error = 0;

	for (size_t i = 0;
	     error == 0 && i < sizeof(commands) / sizeof(commands[0]); i++) {
		bool may = open_by_id || !commands[i].by_id;

		error = seccomp_rule_add(
			filter, may ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EPERM),
			SCMP_SYS(bpf), 1,
			SCMP_A0(SCMP_CMP_MASKED_EQ, INT_BITS,
				(uint64_t)commands[i].command));
	}
	return error;
}

static int add_rules(scmp_filter_ctx filter)
{
	int error = 0;

	for (size_t i = 0; error == 0 && i < sizeof(rules) / sizeof(rules[0]);
	     i++)
		error = seccomp_rule_add_array(
			filter, SCMP_ACT_ALLOW, rules[i].number,
			rules[i].conditions, rules[i].condition);
	return error;
}

static int build(scmp_filter_ctx filter, bool open_by_id)
{
	/* by default only the thread would be killed */
	int error = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH,
				     SCMP_ACT_KILL_PROCESS);

	if (error == 0)
		error = add_commands(filter, open_by_id);
	if (error == 0)
		error = add_rules(filter);
	/* its flags are in memory; libc falls back to clone(2) */
	if (error == 0)
		error = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS),
					 SCMP_SYS(clone3), 0);
	/* the first calls in a filter cost least */
	if (error == 0)
		error = seccomp_syscall_priority(filter, SCMP_SYS(bpf), 255);
	if (error == 0)
		error = seccomp_syscall_priority(filter, SCMP_SYS(sendto), 254);
	return error;
}

/*
 * The rules hold what the headers of this machine say. syscalls.c is compiled
 * for the other one: it compares.
 */
#define SAME(name)                                                             \
	{                                                                      \
#name, (unsigned long long)(name)                              \
	}

static const struct {
	const char *name;
	unsigned long long value;
} constants[] = {
	SAME(AF_INET),          SAME(SOCK_STREAM),   SAME(SOCK_CLOEXEC),
	SAME(SOCK_NONBLOCK),    SAME(MSG_FASTOPEN),  SAME(SOL_SOCKET),
	SAME(SO_RCVTIMEO),      SAME(SO_SNDTIMEO),   SAME(SO_BINDTODEVICE),
	SAME(SO_BINDTOIFINDEX), SAME(IPPROTO_TCP),   SAME(TCP_NODELAY),
	SAME(TCP_INFO),         SAME(F_SETFD),       SAME(CLONE_THREAD),
	SAME(CLONE_NEWNS),      SAME(CLONE_NEWUSER), SAME(PROT_EXEC),
	SAME(SIGABRT),          SAME(EPERM),         SAME(ENOSYS),
};

static void print_checks(void)
{
	static const char *const headers[] = {
		"errno.h",       "fcntl.h",      "linux/filter.h",
		"linux/sched.h", "netinet/in.h", "netinet/tcp.h",
		"signal.h",      "sys/mman.h",   "sys/socket.h",
	};

	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
		printf("#include <%s>\n", headers[i]);
	putchar('\n');
	for (size_t i = 0; i < sizeof(constants) / sizeof(constants[0]); i++)
		printf("_Static_assert(%s == %llu, \"differs where this was "
		       "built\");\n",
		       constants[i].name, constants[i].value);
}

/* From the byte order of that machine, which libseccomp writes, to our own. */
static struct sock_filter to_own_order(struct sock_filter step,
				       uint32_t machine)
{
	bool little = (machine & __AUDIT_ARCH_LE) != 0;

	if (little == (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__))
		return step;
	step.code = __builtin_bswap16(step.code);
	step.k = __builtin_bswap32(step.k);
	return step;
}

static int print(FILE *program, const char *name, uint32_t machine)
{
	struct sock_filter step;
	unsigned steps = 0;

	printf("\nstatic struct sock_filter %s[] = {\n", name);
	for (; fread(&step, sizeof(step), 1, program) == 1; steps++) {
		step = to_own_order(step, machine);
		printf("\t{ 0x%02x, %u, %u, 0x%x },\n", step.code, step.jt,
		       step.jf, step.k);
	}
	printf("};\n");
	return steps > 0 && !ferror(program) ? 0 : -EIO;
}

/* Rules name calls by the numbers of this machine; libseccomp translates. */
static int set_machine(scmp_filter_ctx filter, uint32_t machine)
{
	int error;

	if (machine == seccomp_arch_native())
		return 0;
	error = seccomp_arch_remove(filter, SCMP_ARCH_NATIVE);
	return error < 0 ? error : seccomp_arch_add(filter, machine);
}

static int make(const char *name, bool open_by_id, uint32_t machine)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	FILE *program = tmpfile();
	int error = filter && program ? set_machine(filter, machine) : -ENOMEM;

	if (error == 0)
		error = build(filter, open_by_id);
	if (error == 0)
		error = seccomp_export_bpf(filter, fileno(program));
	if (error == 0) {
		rewind(program);
		error = print(program, name, machine);
	}
	if (program)
		fclose(program);
	seccomp_release(filter);
	return error;
}

static int print_all(uint32_t machine)
{
	/* whatever the kernel of this machine can do */
	int error = seccomp_api_set(API_LEVEL);

	printf("/* Made by syscalls_filter.c. */\n");
	print_checks();
	if (error == 0)
		error = make("with_ids", true, machine);
	if (error == 0)
		error = make("without_ids", false, machine);
	if (error == 0 && fflush(stdout) != 0)
		error = -errno;
	return error;
}

int main(int argc, char *argv[])
{
	uint32_t machine = argc > 1 ? seccomp_arch_resolve_name(argv[1])
				    : seccomp_arch_native();
	int error;

	if (machine == 0) {
		fprintf(stderr,
			"syscalls_filter: libseccomp knows no machine "
			"%s\n",
			argv[1]);
		return EXIT_FAILURE;
	}
	error = print_all(machine);
	if (error < 0)
		fprintf(stderr, "syscalls_filter: %s\n", strerror(-error));
	return error < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
