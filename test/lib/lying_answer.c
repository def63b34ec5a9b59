/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Children of the loader answer, but with something else, as they might once a
 * hostile object has taken them over: what, says the variable LIE. libbpf's
 * functions lie once the object is loaded, sendmsg(2) changes what was said.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define REAL(function) ((__typeof__(&function))dlsym(RTLD_NEXT, #function))

enum {
	PART = 4,     /* enum loader_message_type */
	VARIABLE = 2, /* enum loader_result */
	LOG = 9,
	NEEDS = 10,
};

/* struct loader_message */
struct message {
	uint64_t serial;
	uint32_t type, job, records_size, object_size, fd_count, end, size,
		signal;
};

/* Of a record; its name and its data follow. */
struct head {
	uint32_t kind, fd;
	uint64_t number;
	uint32_t name_size, data_size;
};

static struct bpf_object *loaded;

static int is(const char *lie)
{
	const char *what = getenv("LIE");

	return what && strcmp(what, lie) == 0;
}

/* --- Descriptors --------------------------------------------------------- */

static int make_map(void)
{
	return bpf_map_create(BPF_MAP_TYPE_ARRAY, "foreign", 4, 8, 1, NULL);
}

static int make_program(enum bpf_prog_type type, int map)
{
	struct bpf_insn code[] = {
		{ BPF_LD | BPF_IMM | BPF_DW, 1, map < 0 ? 0 : 1, 0,
		  map < 0 ? 0 : map },
		{ 0, 0, 0, 0, 0 },
		{ BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0 },
		{ BPF_JMP | BPF_EXIT, 0, 0, 0, 0 },
	};

	return REAL(bpf_prog_load)(type, "foreign", "GPL", code, 4, NULL);
}

static int lie_as_program(void)
{
	if (is("a map as a program"))
		return make_map();
	if (is("types as a program"))
		return bpf_object__btf_fd(loaded);
	if (is("a program of another type"))
		return make_program(BPF_PROG_TYPE_SOCKET_FILTER, -1);
	if (is("a program with a foreign map"))
		return make_program(BPF_PROG_TYPE_XDP, make_map());
	return -1;
}

int bpf_object__load(struct bpf_object *object)
{
	int error = REAL(bpf_object__load)(object);

	loaded = object;
	return error;
}

int bpf_program__fd(const struct bpf_program *program)
{
	int fd = loaded ? lie_as_program() : -1;

	return fd >= 0 ? fd : REAL(bpf_program__fd)(program);
}

int bpf_object__btf_fd(const struct bpf_object *object)
{
	LIBBPF_OPTS(bpf_btf_load_opts, options);
	uint32_t none[] = { 0x0001eb9f, 24, 0, 0, 0, 1 };

	if (loaded && is("a map as the types"))
		return bpf_map__fd(bpf_object__next_map(object, NULL));
	if (loaded && is("other types"))
		return bpf_btf_load(none, sizeof(none), &options);
	return REAL(bpf_object__btf_fd)(object);
}

int bpf_map__fd(const struct bpf_map *map)
{
	if (loaded && is("a program as a map"))
		return REAL(bpf_program__fd)(
			bpf_object__next_program(loaded, NULL));
	if (loaded && is("types as a map"))
		return bpf_object__btf_fd(loaded);
	if (loaded && is("one map for all"))
		map = bpf_object__next_map(loaded, NULL);
	return REAL(bpf_map__fd)(map);
}

int bpf_prog_load(enum bpf_prog_type type, const char *name,
		  const char *license, const struct bpf_insn *instructions,
		  size_t count, const struct bpf_prog_load_opts *options)
{
	if (is("instructions: another type"))
		return make_program(BPF_PROG_TYPE_SOCKET_FILTER, -1);
	if (is("instructions: a foreign map"))
		return make_program(type, make_map());
	if (is("instructions: a map"))
		return make_map();
	return REAL(bpf_prog_load)(type, name, license, instructions, count,
				   options);
}

/* Of an attachment by the loader: what it was given, and not what it made. */
int bpf_link_create(int program, int target, enum bpf_attach_type type,
		    const struct bpf_link_create_opts *options)
{
	if (is("attach: the program"))
		return fcntl(program, F_DUPFD_CLOEXEC, 3);
	if (is("attach: the event"))
		return fcntl(target, F_DUPFD_CLOEXEC, 3);
	return REAL(bpf_link_create)(program, target, type, options);
}

/* --- Answers ------------------------------------------------------------- */

const char *bpf_program__name(const struct bpf_program *program)
{
	static char longest[300];

	if (loaded && is("two programs of one name"))
		return "same";
	if (loaded && is("a program without a name"))
		return "";
	if (loaded && is("a long name"))
		return memset(longest, 'n', sizeof(longest) - 1);
	return REAL(bpf_program__name)(program);
}

/* So that it counts fewer than there are. */
bool bpf_map__autocreate(const struct bpf_map *map)
{
	return !is("more maps") && REAL(bpf_map__autocreate)(map);
}

bool bpf_program__autoload(const struct bpf_program *program)
{
	return (loaded || !is("more programs")) &&
	       REAL(bpf_program__autoload)(program);
}

static void change(struct head *head)
{
	char *name = (char *)(head + 1), *data = name + head->name_size;

	if (head->kind == VARIABLE && is("a variable beyond its map"))
		head->number = 1ull << 32 | 65536;
	if (head->kind == VARIABLE && is("a variable far beyond its map"))
		head->number = UINT64_MAX;
	if (head->kind == VARIABLE && is("a variable of no size"))
		head->number = 0;
	if (head->kind == VARIABLE && is("a variable of no map"))
		*data = 'x';
	if (head->kind == LOG && is("a log of no program"))
		*name = 'x';
	if (head->fd != UINT32_MAX && is("a descriptor twice"))
		head->fd = 0;
	if (head->fd != UINT32_MAX && is("a descriptor that did not come"))
		head->fd = 1000;
}

static void change_all(char *bytes, size_t size)
{
	struct head *head;
	size_t at = 0, length;

	while (at + sizeof(*head) <= size) {
		head = (struct head *)(bytes + at);
		length = head->name_size + head->data_size;
		change(head);
		at += sizeof(*head) + length + (8 - length % 8) % 8;
	}
}

/* Whatever there is. */
static ssize_t tell_needs(int fd, const struct message *message,
			  uint64_t number)
{
	struct head head = { .kind = NEEDS,
			     .fd = UINT32_MAX,
			     .number = number };
	struct message copy = *message;
	struct iovec parts[] = { { &copy, sizeof(copy) },
				 { &head, sizeof(head) } };
	struct msghdr header = { .msg_iov = parts, .msg_iovlen = 2 };

	copy.size = sizeof(head);
	copy.fd_count = 0;
	return REAL(sendmsg)(fd, &header, MSG_NOSIGNAL);
}

/* The end of its own socket. */
static ssize_t send_socket(int fd, const struct msghdr *header)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { .header = { CMSG_LEN(sizeof(int)), SOL_SOCKET,
				  SCM_RIGHTS } };
	struct msghdr copy = *header;

	((struct message *)copy.msg_iov[0].iov_base)->fd_count = 1;
	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	copy.msg_control = control.bytes;
	copy.msg_controllen = sizeof(control.bytes);
	return REAL(sendmsg)(fd, &copy, MSG_NOSIGNAL);
}

ssize_t sendmsg(int fd, const struct msghdr *header, int flags)
{
	const struct message *message = header->msg_iov[0].iov_base;

	if (!getenv("LIE") || header->msg_iov[0].iov_len != sizeof(*message) ||
	    message->type != PART)
		return REAL(sendmsg)(fd, header, flags);
	if (is("it needs more again"))
		return tell_needs(fd, message, 2ull << 32 | 2);
	if (is("it needs more than there is"))
		return tell_needs(fd, message, UINT64_MAX);
	if (is("a socket"))
		return send_socket(fd, header);
	change_all(header->msg_iov[1].iov_base, header->msg_iov[1].iov_len);
	return REAL(sendmsg)(fd, header, flags);
}
