/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For LD_PRELOAD: keepers that answer with the device null in place of a socket
 * of their own. They alone make pairs of that type.
 */
#include <dlfcn.h>
#include <sys/socket.h>
#include <unistd.h>

int socketpair(int domain, int type, int protocol, int ends[2])
{
	int (*real)(int, int, int, int[2]);

	if (type == (SOCK_STREAM | SOCK_CLOEXEC)) {
		ends[0] = STDIN_FILENO;
		ends[1] = STDOUT_FILENO;
		return 0;
	}
	*(void **)&real = dlsym(RTLD_NEXT, "socketpair");
	return real(domain, type, protocol, ends);
}
