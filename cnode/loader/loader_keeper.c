/* SPDX-License-Identifier: Apache-2.0 */
/* The end of an attachment that is no kernel link, as the node has it. */
#include "loader/loader.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/clock.h"

#define END_MS 5000
#define LOOK_MS 100 /* at *stopped */

/* It stays in the socket, for others who end the same attachment. */
static int read_how(int fd)
{
	unsigned char error;
	ssize_t n = recv(fd, &error, 1, MSG_PEEK | MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return -EAGAIN;
	return n == 1 ? -error : -ESRCH;
}

int loader_keeper_end(int fd, const atomic_bool *stopped)
{
	struct pollfd end = { .fd = fd, .events = POLLIN };
	int64_t until = clock_ms() + END_MS;
	int how;

	shutdown(fd, SHUT_WR);
	while ((how = read_how(fd)) == -EAGAIN) {
		if (atomic_load(stopped))
			return -ECANCELED;
		if (clock_ms() >= until)
			return -ETIMEDOUT;
		poll(&end, 1, LOOK_MS);
	}
	return how;
}
