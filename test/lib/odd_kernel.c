/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For LD_PRELOAD: kernels that are older, short of memory, or refuse pins, by
 * what system calls say there. What is to be odd is in a file that the
 *test has mapped too; all else is the kernel's own.
 *
 *	ODD_KERNEL     the file, a struct control
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL
#endif

struct control {
	/* the places of an array of maps: EINTR where a batch meets a hole */
	atomic_long places;
	atomic_long interrupted; /* so many times */
	/* so many updates, batches of them and new maps to come are ENOMEM, */
	atomic_long starved;
	atomic_long after; /* but so many entries of a batch are put before */
	/* not 0: pidfd_open(2) knows no threads */
	atomic_long threadless;
	atomic_long refused; /* so many times */
	/* the last of so many batches that take out is ENOMEM */
	atomic_long takes;
	atomic_long unread; /* so many batches that read are ENOMEM */
	/* not 0: what removes an entry waits, */
	atomic_long held;
	atomic_long waiting; /* so many of them */
	/* a set of these: it has no such links */
	atomic_long linkless;
	atomic_long unpinnable; /* not 0: an errno, for all that is pinned, */
	atomic_long unopened;   /* or opened by a pin of a kept handle */
};

enum {
	NO_TCX = 1,           /* before 6.6 */
	NO_SOCKMAP_LINKS = 2, /* before 6.10 */
	NO_SOCKMAP_QUERY = 4, /* before 5.18 */
};

static struct control unused;
static struct control *control = &unused;
static long (*real)(long number, ...);

__attribute__((constructor)) static void map_control(void)
{
	const char *path = getenv("ODD_KERNEL");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *page;

	*(void **)&real = dlsym(RTLD_NEXT, "syscall");
	if (fd < 0 || !real)
		_exit(99);
	page = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED,
		    fd, 0);
	close(fd);
	if (page == MAP_FAILED)
		_exit(99);
	control = page;
}

static long fail(int error)
{
	errno = error;
	return -1;
}

/* Up to the first hole, as generic_map_lookup_batch() before 6.14. */
static long stop_at_hole(union bpf_attr *attr, size_t size)
{
	const uint32_t *cursor = (void *)(uintptr_t)attr->batch.in_batch;
	const uint32_t *keys = (void *)(uintptr_t)attr->batch.keys;
	uint32_t *next = (void *)(uintptr_t)attr->batch.out_batch;
	uint32_t asked = attr->batch.count, n = 0;
	uint32_t first = cursor ? *cursor + 1 : 0;
	uint32_t untouched = *next;
	long result = real(SYS_bpf, BPF_MAP_LOOKUP_BATCH, attr, size);

	if (result < 0 && errno != ENOENT)
		return result;
	while (n < attr->batch.count && keys[n] == first + n)
		n++;
	if (n == asked || first + n >= atomic_load(&control->places))
		return result;
	attr->batch.count = n;
	*next = n > 0 ? keys[n - 1] : untouched;
	atomic_fetch_add(&control->interrupted, 1);
	return fail(EINTR);
}

/* One less of so many. */
static int is_one_of(atomic_long *count)
{
	long left = atomic_load(count);

	while (left > 0)
		if (atomic_compare_exchange_weak(count, &left, left - 1))
			return 1;
	return 0;
}

static int is_starved(void)
{
	return is_one_of(&control->starved);
}

static long put_some(union bpf_attr *attr, size_t size)
{
	long some = atomic_load(&control->after);

	if (some >= attr->batch.count)
		return real(SYS_bpf, BPF_MAP_UPDATE_BATCH, attr, size);
	attr->batch.count = (uint32_t)some;
	if (some > 0 && real(SYS_bpf, BPF_MAP_UPDATE_BATCH, attr, size) < 0)
		return -1;
	return fail(ENOMEM);
}

/* By poll(2), which the sandbox allows. */
static void wait_while_held(void)
{
	atomic_fetch_add(&control->waiting, 1);
	while (atomic_load(&control->held))
		poll(NULL, 0, 1);
	atomic_fetch_sub(&control->waiting, 1);
}

/* As for any type that the kernel does not know. */
static int is_unknown(int command, const union bpf_attr *attr)
{
	long lacks = atomic_load(&control->linkless);
	uint32_t type = command == BPF_LINK_CREATE
				? attr->link_create.attach_type
				: attr->query.attach_type;

	switch (type) {
	case 46: /* BPF_TCX_INGRESS */
	case 47: /* BPF_TCX_EGRESS */
		return command == BPF_LINK_CREATE && (lacks & NO_TCX);
	case BPF_SK_SKB_STREAM_PARSER:
	case BPF_SK_SKB_STREAM_VERDICT:
	case BPF_SK_MSG_VERDICT:
	case BPF_SK_SKB_VERDICT:
		return lacks & (command == BPF_LINK_CREATE ? NO_SOCKMAP_LINKS
							   : NO_SOCKMAP_QUERY);
	default:
		return 0;
	}
}

static int is_of_handle(const union bpf_attr *attr)
{
	const char *path = (const char *)(uintptr_t)attr->pathname;
	const char *slash = strrchr(path, '/');

	return slash && slash[1] == 'h';
}

static long odd_bpf(int command, union bpf_attr *attr, size_t size)
{
	switch (command) {
	case BPF_MAP_LOOKUP_BATCH:
		if (is_one_of(&control->unread))
			return fail(ENOMEM);
		if (atomic_load(&control->places) > 0)
			return stop_at_hole(attr, size);
		break;
	case BPF_MAP_UPDATE_BATCH:
		if (is_starved())
			return put_some(attr, size);
		break;
	case BPF_MAP_LOOKUP_AND_DELETE_BATCH:
		if (atomic_load(&control->takes) > 0 &&
		    atomic_fetch_sub(&control->takes, 1) == 1)
			return fail(ENOMEM);
		break;
	case BPF_MAP_DELETE_ELEM:
		wait_while_held();
		break;
	case BPF_MAP_UPDATE_ELEM:
	case BPF_MAP_CREATE:
		if (is_starved())
			return fail(ENOMEM);
		break;
	case BPF_OBJ_PIN:
		if (atomic_load(&control->unpinnable))
			return fail((int)atomic_load(&control->unpinnable));
		break;
	case BPF_OBJ_GET:
		if (atomic_load(&control->unopened) && is_of_handle(attr))
			return fail((int)atomic_load(&control->unopened));
		break;
	case BPF_LINK_CREATE:
	case BPF_PROG_QUERY:
		if (is_unknown(command, attr))
			return fail(EINVAL);
		break;
	default:
		break;
	}
	return real(SYS_bpf, command, attr, size);
}

static long odd_pidfd_open(long pid, long flags)
{
	if (!atomic_load(&control->threadless))
		return real(SYS_pidfd_open, pid, flags);
	if (!(flags & PIDFD_THREAD))
		return real(SYS_pidfd_open, pid, flags);
	atomic_fetch_add(&control->refused, 1);
	return fail(EINVAL);
}

long syscall(long number, ...)
{
	long args[6];
	va_list list;

	va_start(list, number);
	for (int i = 0; i < 6; i++)
		args[i] = va_arg(list, long);
	va_end(list);
	if (number == SYS_bpf)
		return odd_bpf((int)args[0], (void *)args[1], (size_t)args[2]);
	if (number == SYS_pidfd_open)
		return odd_pidfd_open(args[0], args[1]);
	return real(number, args[0], args[1], args[2], args[3], args[4],
		    args[5]);
}
