/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first child of the loader that answers does something else instead, as it
 * might once a hostile object has taken it over: what, says the variable LIE;
 * LIE_IN: the function of libbpf by which it does its job. Only a child sends
 * parts of an answer.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	PART = 4,
	ENDED = 5
};

/* struct loader_message */
struct message {
	uint64_t serial;
	uint32_t type, job, records_size, object_size, fd_count, end, size,
		signal;
};

#define REAL(function) ((__typeof__(&function))dlsym(RTLD_NEXT, #function))

static atomic_int *answers; /* of all children together */
static const char *job;     /* of this one: the first function that it called */

__attribute__((constructor)) static void share(void)
{
	answers = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

static ssize_t send_bytes(int fd, void *bytes, size_t size)
{
	struct iovec part = { bytes, size };
	struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1 };
	__typeof__(&sendmsg) real = REAL(sendmsg);

	return real(fd, &header, MSG_NOSIGNAL);
}

/* As often as somebody takes them. */
static void send_fds(int fd, const struct message *message)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(250 * sizeof(int))];
	} control = { 0 };
	struct message part = *message;
	struct iovec iov = { &part, sizeof(part) };
	struct msghdr header = { .msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = control.bytes,
				 .msg_controllen = sizeof(control.bytes) };
	__typeof__(&sendmsg) real = REAL(sendmsg);

	part.fd_count = 250;
	part.size = 0;
	control.header = (struct cmsghdr){ CMSG_LEN(250 * sizeof(int)),
					   SOL_SOCKET, SCM_RIGHTS };
	for (int i = 0; i < 250; i++)
		memcpy(CMSG_DATA(&control.header) + i * sizeof(int), &fd,
		       sizeof(fd));
	while (real(fd, &header, MSG_NOSIGNAL) >= 0)
		;
}

static void be_endless(int fd, const struct message *message)
{
	static struct {
		struct message message;
		char bytes[32768];
	} part;

	part.message = *message;
	part.message.fd_count = 0;
	part.message.size = sizeof(part.bytes);
	while (send_bytes(fd, &part, sizeof(part)) > 0)
		;
}

/* More than the answer to any request has. */
static void hoard(int fd, const struct message *message)
{
	while (fcntl(fd, F_DUPFD_CLOEXEC, 3) >= 0)
		;
	send_fds(fd, message);
}

/* No socket but its own, and no file of others. */
static int holds_more(int fd)
{
	struct stat status;

	for (int other = 3; other < 1024; other++)
		if (other != fd && fstat(other, &status) == 0)
			return 1;
	return 0;
}

static void lie(const char *what, int fd, const struct message *message)
{
	struct message other = *message;
	static uint32_t futex;
	static volatile int *volatile nowhere;

#define IS(word) (strcmp(what, word) == 0)
	if (IS("crash"))
		*nowhere = 1;
	if (IS("abort"))
		abort();
	while (IS("spin"))
		;
	while (IS("sleep"))
		syscall(SYS_futex, &futex, FUTEX_WAIT, 0, NULL, NULL, 0);
	if (IS("say nothing"))
		_exit(0);
	if (IS("fail"))
		_exit(3);
	if (IS("endless"))
		be_endless(fd, message);
	if (IS("descriptors"))
		send_fds(fd, message);
	if (IS("hoard"))
		hoard(fd, message);
	if (IS("short"))
		send_bytes(fd, &other, 4);
	if (IS("empty"))
		send_bytes(fd, &other, 0);
	other.size += 1;
	if (IS("wrong size"))
		send_bytes(fd, &other, sizeof(other));
	other.size = 0;
	other.serial++;
	if (IS("wrong serial"))
		send_bytes(fd, &other, sizeof(other));
	other.serial--;
	other.type = ENDED;
	if (IS("end of another"))
		send_bytes(fd, &other, sizeof(other));
	if (IS("fork"))
		fork();
	if (IS("exec"))
		execl("/bin/true", "true", (char *)NULL);
	if (IS("socket"))
		socket(AF_INET, SOCK_STREAM, 0);
	if (IS("receive"))
		recv(fd, &other, sizeof(other), MSG_DONTWAIT);
	if (IS("kill the loader"))
		kill(getppid(), SIGKILL);
	if (IS("trace the loader"))
		ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
	if (IS("make code"))
		mmap(NULL, 4096, PROT_READ | PROT_EXEC,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	/* these go on to answer if they were refused */
	if (IS("read a file") && open("/etc/shadow", O_RDONLY) >= 0)
		_exit(0);
	if (IS("write a file") &&
	    open("/tmp/lying_child", O_WRONLY | O_CREAT, 0600) >= 0)
		_exit(0);
	if (IS("look around") && holds_more(fd))
		_exit(0);
	if (IS("memory") && malloc((size_t)1 << 30))
		_exit(0);
}

static void note(const char *function)
{
	if (!job)
		job = function;
}

struct bpf_object *
bpf_object__open_mem(const void *bytes, size_t size,
		     const struct bpf_object_open_opts *options)
{
	note("bpf_object__open_mem");
	return REAL(bpf_object__open_mem)(bytes, size, options);
}

int bpf_prog_load(enum bpf_prog_type type, const char *name,
		  const char *license, const struct bpf_insn *instructions,
		  size_t count, const struct bpf_prog_load_opts *options)
{
	note("bpf_prog_load");
	return REAL(bpf_prog_load)(type, name, license, instructions, count,
				   options);
}

int bpf_prog_test_run_opts(int fd, struct bpf_test_run_opts *options)
{
	note("bpf_prog_test_run_opts");
	return REAL(bpf_prog_test_run_opts)(fd, options);
}

int bpf_link_create(int program, int target, enum bpf_attach_type type,
		    const struct bpf_link_create_opts *options)
{
	note("bpf_link_create");
	return REAL(bpf_link_create)(program, target, type, options);
}

static int is_meant(void)
{
	const char *in = getenv("LIE_IN");

	return (!in || (job && strcmp(in, job) == 0)) &&
	       atomic_fetch_add(answers, 1) == 0;
}

ssize_t sendmsg(int fd, const struct msghdr *header, int flags)
{
	__typeof__(&sendmsg) real = REAL(sendmsg);
	const struct message *message = header->msg_iov[0].iov_base;
	const char *what = getenv("LIE");

	if (what && header->msg_iov[0].iov_len == sizeof(*message) &&
	    message->type == PART && is_meant())
		lie(what, fd, message);
	return real(fd, header, flags);
}
