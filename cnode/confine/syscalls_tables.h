/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each filter lets through: for syscalls_filter.c alone. Any call that is
 * not in these tables kills the process, so each new one needs its row here.
 * `strace -f' shows which call it was, and so does the kernel's audit log.
 */
#ifndef SYSCALLS_TABLES_H
#define SYSCALLS_TABLES_H

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/netlink.h>
#include <linux/perf_event.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

/* numbers that are the same everywhere, and that libseccomp 2.5.0 lacks */
#ifndef __SNR_close_range
#define __SNR_close_range 436
#endif
#ifndef __SNR_faccessat2
#define __SNR_faccessat2 439
#endif
#ifndef __SNR_landlock_restrict_self
#define __SNR_landlock_restrict_self 446
#endif

#define MAX_CONDITIONS 3

/* Who is filtered: bits of a set. */
enum who {
	NODE = 1,
	PROGRAMS = 2, /* the node with --programs */
	/* the loader's children, by their job */
	LOAD = 4,
	RUN = 8,
	ATTACH = 16,
	KEEP = 32,
	PERF = 64,
	CHILDREN = LOAD | RUN | ATTACH | KEEP | PERF,
	/* its filter is theirs as well, so it may all that they may */
	LOADER = 128,
	EPMD = 256, /* the node without --no-epmd */
};

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

static const struct rule node_rules[] = {
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

	/* the index of an interface; and epmd */
	CALL(socket, 3, INT(0, AF_INET), OF_STREAM, INT(2, 0)),
	CALL(setsockopt, 2, INT(1, SOL_SOCKET), INT(2, SO_BINDTODEVICE)),
	CALL(getsockopt, 2, INT(1, SOL_SOCKET), INT(2, SO_BINDTOIFINDEX)),

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
	/* views of a map */
	CALL(fcntl, 1, INT(1, F_DUPFD_CLOEXEC)),

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

/* To register, again and again. */
static const struct rule epmd_rules[] = {
	CALL(connect, 0),
	CALL(fcntl, 1, INT(1, F_SETFD)),
};

/* For the loader: objects go to it by a memfd, and descriptors come back. */
static const struct rule programs_rules[] = {
	CALL(memfd_create, 0),
	CALL(fcntl, 1, INT(1, F_ADD_SEALS)),
	CALL(sendmsg, 0),
	CALL(recvmsg, 0),
};

/* What any child needs: its memory, its answer and its end. */
static const struct rule child_rules[] = {
	CALL(sendmsg, 0),
	CALL(poll, 0),
	CALL(ppoll, 0),
	CALL(close, 0),
	CALL(futex, 0),
	CALL(getpid, 0),
	CALL(getrandom, 0),
	CALL(clock_gettime, 0),
	CALL(restart_syscall, 0),
	/* capabilities that the job turns out not to need */
	CALL(capget, 0),
	CALL(capset, 0),

	CALL(brk, 0),
	CALL(mmap, 1, BITS(2, PROT_EXEC, 0)),
	CALL(mprotect, 1, BITS(2, PROT_EXEC, 0)),
	CALL(mremap, 0),
	CALL(munmap, 0),
	CALL(madvise, 0),

	CALL(exit_group, 0),
	CALL(rt_sigaction, 0),
	CALL(rt_sigprocmask, 0),
	CALL(gettid, 0),
	CALL(tgkill, 1, INT(2, SIGABRT)),
	CALL(write, 0),
	CALL(writev, 0),
};

/* libbpf, as far as Landlock allows; no descriptor of it can be written. */
static const struct rule file_rules[] = {
	CALL(openat, 0),
	CALL(read, 0),
	CALL(pread64, 0),
	CALL(fstat, 0),
	CALL(newfstatat, 0),
	CALL(statfs, 0),
	CALL(fstatfs, 0),
	CALL(lseek, 0),
	CALL(access, 0),
	CALL(faccessat, 0),
	CALL(faccessat2, 0),
	CALL(fcntl, 1, INT(1, F_DUPFD_CLOEXEC)),
	CALL(dup3, 0),
	CALL(memfd_create, 0), /* to reserve the numbers of maps, from 1.4 on */
	CALL(uname, 0),
	CALL(geteuid, 0),
	CALL(sysinfo, 0), /* qsort(3), to choose its memory */
	CALL(prlimit64, 0),
};

static const struct rule attach_rules[] = {
	CALL(perf_event_open, 0),
	CALL(ioctl, 1, INT(1, PERF_EVENT_IOC_ENABLE)),
	CALL(ioctl, 1, INT(1, PERF_EVENT_IOC_DISABLE)),
	CALL(ioctl, 1, INT(1, PERF_EVENT_IOC_SET_BPF)),
};

/* Which processors there may be, and the events of each. */
static const struct rule perf_rules[] = {
	CALL(openat, 0),
	CALL(read, 0),
	CALL(perf_event_open, 0),
};

/*
 * Traffic control by libbpf; the socket that stands for the attachment, and the
 * lock of all keepers.
 */
static const struct rule keep_rules[] = {
	CALL(socket, 3, INT(0, AF_NETLINK),
	     BITS(1, INT_BITS & ~(uint64_t)SOCK_CLOEXEC, SOCK_RAW),
	     INT(2, NETLINK_ROUTE)),
	CALL(setsockopt, 2, INT(1, SOL_NETLINK), INT(2, NETLINK_EXT_ACK)),
	CALL(bind, 0),
	CALL(getsockname, 0),
	CALL(sendto, 1, NO_POINTER(4)),
	CALL(recvmsg, 0),
	CALL(time, 0), /* where the vDSO does not have it */
	CALL(socketpair, 2, INT(0, AF_UNIX), INT(2, 0)),
	CALL(read, 0),
	CALL(fcntl, 1, INT(1, F_SETLKW)),
};

/* Its children, and what confines them. */
static const struct rule loader_rules[] = {
	CALL(recvmsg, 0),
	CALL(shutdown, 0),
	CALL(socketpair, 2, INT(0, AF_UNIX), INT(2, 0)),
	CALL(clone, 1, BITS(0, CLONE_THREAD | CLONE_VM | NAMESPACES, 0)),
	CALL(set_robust_list, 0),
	CALL(rseq, 0),
	CALL(wait4, 0),
	CALL(kill, 1, INT(1, SIGKILL)),
	CALL(close_range, 0),
	CALL(getppid, 0),
	CALL(prctl, 1, INT(0, PR_SET_PDEATHSIG)),
	CALL(prctl, 1, INT(0, PR_SET_SECCOMP)),
	CALL(prctl, 1, INT(0, PR_SET_NAME)),
	CALL(seccomp, 1, INT(0, SECCOMP_SET_MODE_FILTER)),
	CALL(landlock_restrict_self, 0),
};

#define RULES(who, table)                                                      \
	{                                                                      \
		who, table, sizeof(table) / sizeof((table)[0])                 \
	}

static const struct {
	unsigned who;
	const struct rule *rules;
	size_t count;
} tables[] = {
	RULES(NODE, node_rules),          RULES(EPMD, epmd_rules),
	RULES(PROGRAMS, programs_rules),  RULES(CHILDREN, child_rules),
	RULES(LOAD | ATTACH, file_rules), RULES(ATTACH, attach_rules),
	RULES(KEEP, keep_rules),          RULES(PERF, perf_rules),
	RULES(LOADER, loader_rules),
};

/*
 * The commands of bpf(2), the commonest first. With an errno that is what is
 * returned: by_id, to those that may not open by id.
 */
static const struct {
	enum bpf_cmd command;
	unsigned who;
	bool by_id;
	int error;
} commands[] = {
	{ BPF_MAP_LOOKUP_ELEM, NODE, false, 0 },
	{ BPF_MAP_UPDATE_ELEM, NODE | LOAD, false, 0 },
	{ BPF_MAP_DELETE_ELEM, NODE, false, 0 },
	{ BPF_MAP_LOOKUP_AND_DELETE_ELEM, NODE, false, 0 },
	{ BPF_MAP_GET_NEXT_KEY, NODE, false, 0 },
	{ BPF_MAP_LOOKUP_BATCH, NODE, false, 0 },
	{ BPF_MAP_LOOKUP_AND_DELETE_BATCH, NODE, false, 0 },
	{ BPF_MAP_UPDATE_BATCH, NODE, false, 0 },
	{ BPF_MAP_CREATE, NODE | LOAD, false, 0 },
	{ BPF_OBJ_GET_INFO_BY_FD, NODE | CHILDREN, false, 0 },
	/* types of keys and values */
	{ BPF_BTF_LOAD, NODE | LOAD, false, 0 },
	{ BPF_MAP_FREEZE, NODE | LOAD, false, 0 },
	{ BPF_OBJ_PIN, NODE, false, 0 },
	{ BPF_OBJ_GET, NODE, false, 0 },
	{ BPF_MAP_GET_FD_BY_ID, NODE, true, EPERM },
	{ BPF_MAP_GET_NEXT_ID, NODE, true, EPERM },
	{ BPF_BTF_GET_FD_BY_ID, NODE, true, EPERM },
	/* programs and links that are there */
	{ BPF_LINK_CREATE, PROGRAMS | ATTACH, false, 0 },
	{ BPF_RAW_TRACEPOINT_OPEN, PROGRAMS | ATTACH, false, 0 },
	{ BPF_LINK_UPDATE, PROGRAMS, false, 0 },
	{ BPF_LINK_DETACH, PROGRAMS, false, 0 },
	{ BPF_PROG_GET_FD_BY_ID, PROGRAMS, true, EPERM },
	{ BPF_PROG_GET_NEXT_ID, PROGRAMS, true, EPERM },
	{ BPF_LINK_GET_FD_BY_ID, PROGRAMS, true, EPERM },
	{ BPF_LINK_GET_NEXT_ID, PROGRAMS, true, EPERM },
	{ BPF_ENABLE_STATS, PROGRAMS, true, EPERM },
	/* objects; libbpf takes ENOENT for a host without modules */
	{ BPF_PROG_LOAD, LOAD, false, 0 },
	{ BPF_PROG_BIND_MAP, LOAD, false, 0 },
	{ BPF_BTF_GET_NEXT_ID, LOAD, false, ENOENT },
	{ BPF_PROG_TEST_RUN, RUN, false, 0 },
	{ BPF_PROG_ATTACH, KEEP, false, 0 },
	{ BPF_PROG_DETACH, KEEP, false, 0 },
	{ BPF_PROG_QUERY, KEEP, false, 0 },
};

#endif
