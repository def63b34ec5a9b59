/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listening sockets. That of all addresses of IPv6 takes those of IPv4, too,
 * unless an address of IPv4 is given as well.
 */
#include "dist/listeners.h"

#include <errno.h>
#include <unistd.h>

#define BACKLOG 512
#define TRIES 20 /* for a port that is free on all addresses */

static bool have_v4(const struct address *addresses, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (addresses[i].any.sa_family == AF_INET)
			return true;
	return false;
}

static int set_option(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno
									: 0;
}

static int bind_and_listen(int fd, const struct address *address, bool only_v6)
{
	int error = set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);

	if (error == 0 && address->any.sa_family == AF_INET6)
		error = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, only_v6);
	if (error < 0)
		return error;
	return bind(fd, &address->any, address->size) < 0 ||
			       listen(fd, BACKLOG) < 0
		       ? -errno
		       : 0;
}

static int open_one(const struct address *address, uint16_t port, bool only_v6)
{
	struct address at = *address;
	int fd = socket(at.any.sa_family,
			SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int error;

	if (fd < 0)
		return -errno;
	address_set_port(&at, port);
	error = bind_and_listen(fd, &at, only_v6);
	if (error == 0)
		return fd;
	close(fd);
	return error;
}

static int port_of(int fd)
{
	struct address address = { .size = sizeof(address.v6) };

	return getsockname(fd, &address.any, &address.size) < 0
		       ? -errno
		       : address_port(&address);
}

void listeners_close(struct listeners *listeners)
{
	while (listeners->count > 0)
		close(listeners->fds[--listeners->count]);
}

/* All at the port that the first one gets. */
static int open_all(struct listeners *listeners,
		    const struct address *addresses, unsigned count,
		    uint16_t wanted)
{
	bool only_v6 = have_v4(addresses, count);
	int port = wanted, fd;

	for (unsigned i = 0; i < count && port >= 0; i++) {
		fd = open_one(&addresses[i], (uint16_t)port, only_v6);
		if (fd < 0)
			return fd;
		listeners->fds[listeners->count++] = fd;
		if (port == 0)
			port = port_of(fd);
	}
	return port;
}

int listeners_open(struct listeners *listeners, const struct address *addresses,
		   unsigned count, uint16_t port, unsigned *failed)
{
	int result = -EADDRINUSE;

	for (unsigned i = 0; i < TRIES && result == -EADDRINUSE; i++) {
		result = open_all(listeners, addresses, count, port);
		*failed = listeners->count;
		if (result < 0)
			listeners_close(listeners);
		/* of a port that is given the first answer is the last one */
		if (port > 0 || *failed == 0)
			break;
	}
	return result;
}
