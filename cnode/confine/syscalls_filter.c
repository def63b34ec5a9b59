/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs during the build, on the machine that builds: makes the filters of
 * seccomp(2) from the tables beside it, by libseccomp, for the machine that the
 * node will run on, and prints them as C for syscalls.c. They are not made when
 * the node starts because libseccomp crashes when it is short of memory, or
 * silently leaves rules out.
 *
 *	syscalls_filter [MACHINE]	as libseccomp names it; this one
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confine/syscalls_tables.h"

#define API_LEVEL 3 /* knows SCMP_ACT_KILL_PROCESS, see seccomp_api_set(3) */

static const struct filter {
	const char *name;
	unsigned who;
	bool open_by_id;
} filters[] = {
	{ "with_ids", NODE | EPMD, true },
	{ "without_ids", NODE | EPMD, false },
	{ "programs_with_ids", NODE | EPMD | PROGRAMS, true },
	{ "programs_without_ids", NODE | EPMD | PROGRAMS, false },
	{ "no_epmd_with_ids", NODE, true },
	{ "no_epmd_without_ids", NODE, false },
	{ "no_epmd_programs_with_ids", NODE | PROGRAMS, true },
	{ "no_epmd_programs_without_ids", NODE | PROGRAMS, false },
	{ "loader", LOADER | CHILDREN, false },
	{ "load", LOAD, false },
	{ "run", RUN, false },
	{ "attach", ATTACH, false },
	{ "keep", KEEP, false },
	{ "perf", PERF, false },
};

static int add_commands(scmp_filter_ctx filter, const struct filter *of)
{
	bool may;
	int error = 0;

	for (size_t i = 0;
	     error == 0 && i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (!(commands[i].who & of->who))
			continue;
		may = commands[i].error == 0 ||
		      (commands[i].by_id && of->open_by_id);
		error = seccomp_rule_add(
			filter,
			may ? SCMP_ACT_ALLOW
			    : SCMP_ACT_ERRNO((uint16_t)commands[i].error),
			SCMP_SYS(bpf), 1,
			SCMP_A0(SCMP_CMP_MASKED_EQ, INT_BITS,
				(uint64_t)commands[i].command));
	}
	return error;
}

static int add_table(scmp_filter_ctx filter, const struct rule *rules,
		     size_t count)
{
	int error = 0;

	for (size_t i = 0; error == 0 && i < count; i++)
		error = seccomp_rule_add_array(
			filter, SCMP_ACT_ALLOW, rules[i].number,
			rules[i].conditions, rules[i].condition);
	return error;
}

static int add_rules(scmp_filter_ctx filter, const struct filter *of)
{
	int error = 0;

	for (size_t i = 0; error == 0 && i < sizeof(tables) / sizeof(tables[0]);
	     i++)
		if (tables[i].who & of->who)
			error = add_table(filter, tables[i].rules,
					  tables[i].count);
	return error;
}

static int build(scmp_filter_ctx filter, const struct filter *of)
{
	/* by default only the thread would be killed */
	int error = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH,
				     SCMP_ACT_KILL_PROCESS);

	if (error == 0)
		error = add_commands(filter, of);
	if (error == 0)
		error = add_rules(filter, of);
	/* its flags are in memory; libc falls back to clone(2) */
	if (error == 0)
		error = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS),
					 SCMP_SYS(clone3), 0);
	/* the first calls in a filter cost least */
	if (error == 0)
		error = seccomp_syscall_priority(filter, SCMP_SYS(bpf), 255);
	if (error == 0 && (of->who & NODE))
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
	SAME(AF_INET),
	SAME(SOCK_STREAM),
	SAME(SOCK_CLOEXEC),
	SAME(SOCK_NONBLOCK),
	SAME(MSG_FASTOPEN),
	SAME(SOL_SOCKET),
	SAME(SO_RCVTIMEO),
	SAME(SO_SNDTIMEO),
	SAME(SO_BINDTODEVICE),
	SAME(SO_BINDTOIFINDEX),
	SAME(IPPROTO_TCP),
	SAME(TCP_NODELAY),
	SAME(TCP_INFO),
	SAME(F_SETFD),
	SAME(CLONE_THREAD),
	SAME(CLONE_NEWNS),
	SAME(CLONE_NEWUSER),
	SAME(PROT_EXEC),
	SAME(SIGABRT),
	SAME(EPERM),
	SAME(ENOSYS),
	SAME(ENOENT),
	SAME(SIGKILL),
	SAME(AF_UNIX),
	SAME(AF_NETLINK),
	SAME(SOCK_RAW),
	SAME(NETLINK_ROUTE),
	SAME(SOL_NETLINK),
	SAME(NETLINK_EXT_ACK),
	SAME(F_SETLKW),
	SAME(CLONE_VM),
	SAME(F_ADD_SEALS),
	SAME(F_DUPFD_CLOEXEC),
	SAME(PR_SET_PDEATHSIG),
	SAME(PR_SET_SECCOMP),
	SAME(PR_SET_NAME),
	SAME(SECCOMP_SET_MODE_FILTER),
	SAME(PERF_EVENT_IOC_ENABLE),
	SAME(PERF_EVENT_IOC_DISABLE),
	SAME(PERF_EVENT_IOC_SET_BPF),
};

static void print_checks(void)
{
	static const char *const headers[] = {
		"errno.h",
		"fcntl.h",
		"linux/filter.h",
		"linux/netlink.h",
		"linux/perf_event.h",
		"linux/seccomp.h",
		"sys/ioctl.h",
		"sys/prctl.h",
		"linux/sched.h",
		"netinet/in.h",
		"netinet/tcp.h",
		"signal.h",
		"sys/mman.h",
		"sys/socket.h",
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

static int make(const struct filter *of, uint32_t machine)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	FILE *program = tmpfile();
	int error = filter && program ? set_machine(filter, machine) : -ENOMEM;

	if (error == 0)
		error = build(filter, of);
	if (error == 0)
		error = seccomp_export_bpf(filter, fileno(program));
	if (error == 0) {
		rewind(program);
		error = print(program, of->name, machine);
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
	for (size_t i = 0;
	     error == 0 && i < sizeof(filters) / sizeof(filters[0]); i++)
		error = make(&filters[i], machine);
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
