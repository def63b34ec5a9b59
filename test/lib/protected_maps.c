/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For LD_PRELOAD: a kernel in which a security module protects some maps. What
 * is opened, by its id or where it is pinned, is looked at as the kernel's
 * security_bpf_map() does, and refused by the name of the map:
 *
 *	ro_*      is given to read only
 *	no_*      is not given at all
 *	gone_*    goes just before it is opened: ENOENT
 *	*_acc     the refusal is EACCES, else it is EPERM
 *
 * libbpf makes its system calls by syscall(2), which stands here before that of
 * libc; the kernel at hand may have no such module.
 */
#include <dlfcn.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef long (*syscall_function)(long number, ...);

static syscall_function kernel;

__attribute__((constructor)) static void find_kernel(void)
{
	*(void **)&kernel = dlsym(RTLD_NEXT, "syscall");
}

/* Programs and links have no name at that place that begins so. */
static void read_name(int fd, char name[BPF_OBJ_NAME_LEN])
{
	struct bpf_map_info info = { 0 };
	union bpf_attr attr = { .info = { .bpf_fd = (uint32_t)fd,
					  .info_len = sizeof(info),
					  .info = (uintptr_t)&info } };

	if (kernel(__NR_bpf, BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof(attr)) < 0)
		info.name[0] = '\0';
	memcpy(name, info.name, BPF_OBJ_NAME_LEN);
}

static bool ends_with(const char *name, const char *end)
{
	size_t size = strlen(name), end_size = strlen(end);

	return size >= end_size && strcmp(name + size - end_size, end) == 0;
}

/* 0, or the error of who asks for more than to read, or not even that. */
static int refusal(int fd, bool only_read)
{
	char name[BPF_OBJ_NAME_LEN];

	read_name(fd, name);
	if (strncmp(name, "gone_", 5) == 0)
		return ENOENT;
	if (strncmp(name, "no_", 3) != 0 &&
	    (only_read || strncmp(name, "ro_", 3) != 0))
		return 0;
	return ends_with(name, "_acc") ? EACCES : EPERM;
}

/* Which flags a command opens with; false: it opens nothing. */
static bool opens(int command, const union bpf_attr *attr, uint32_t *flags)
{
	if (command == BPF_MAP_GET_FD_BY_ID)
		*flags = attr->open_flags;
	else if (command == BPF_OBJ_GET)
		*flags = attr->file_flags;
	else
		return false;
	return true;
}

/* As many arguments as libbpf and the node itself give. */
long syscall(long number, ...)
{
	va_list list;
	long args[6], result;
	uint32_t flags;
	int error;

	va_start(list, number);
	for (int i = 0; i < 6; i++)
		args[i] = va_arg(list, long);
	va_end(list);
	result = kernel(number, args[0], args[1], args[2], args[3], args[4],
			args[5]);
	if (number != __NR_bpf || result < 0 ||
	    !opens((int)args[0], (const union bpf_attr *)args[1], &flags))
		return result;
	error = refusal((int)result, (flags & BPF_F_RDONLY) != 0);
	if (error == 0)
		return result;
	close((int)result);
	errno = error;
	return -1;
}
