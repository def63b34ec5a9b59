/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For LD_PRELOAD: when a cookie file is about to be made, somebody else has
 * just made it. Its content is that of the variable LATE_COOKIE.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int (*real)(const char *path, int flags, mode_t mode);

static void be_first(const char *path)
{
	const char *text = getenv("LATE_COOKIE");
	int fd = real(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);

	if (fd < 0 || !text || write(fd, text, strlen(text)) < 0)
		abort();
	close(fd);
}

static int open_late(const char *path, int flags, mode_t mode)
{
	real = (int (*)(const char *, int, mode_t))dlsym(RTLD_NEXT, "open");
	if ((flags & O_EXCL) && strstr(path, ".erlang.cookie"))
		be_first(path);
	return real(path, flags, mode);
}

int open(const char *path, int flags, ...)
{
	va_list arguments;
	mode_t mode;

	va_start(arguments, flags);
	mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
	va_end(arguments);
	return open_late(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
	va_list arguments;
	mode_t mode;

	va_start(arguments, flags);
	mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
	va_end(arguments);
	return open_late(path, flags, mode);
}
